//! Reviews as they come and go: which webhook, what is asked, and the answer's envelope.

use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::core::DynamicObject;
use kube::core::admission::{
    AdmissionRequest, AdmissionResponse, AdmissionReview, META_API_VERSION_V1, META_KIND,
};

use super::mutate::Mutate;
use super::validate::Validate;
use crate::build::admission::webhooks::{MUTATE_PATH, VALIDATE_PATH};
use crate::metrics::Metrics;

/// What is asked in a review.
pub type Asked = AdmissionRequest<DynamicObject>;

/// Why a review cannot be answered at all; the API server's `failurePolicy` decides then.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The body is not a review.
    #[error("not an AdmissionReview of {META_API_VERSION_V1}: {0}")]
    NotAReview(String),
    /// The answer.
    #[error("the answer cannot be written: {0}")]
    Answer(serde_json::Error),
}

/// The webhooks.
pub struct Webhooks {
    /// The one for policies.
    pub validate: Validate,
    /// The one for pods.
    pub mutate: Mutate,
    /// What is counted.
    pub metrics: Metrics,
}

impl Webhooks {
    /// Whether there is a webhook at this path.
    #[must_use]
    pub fn knows(&self, path: &str) -> bool {
        [VALIDATE_PATH, MUTATE_PATH].contains(&path)
    }

    /// The answer, as JSON, to the review in `body`.
    ///
    /// # Errors
    /// [`ReviewError`] for what is no review.
    pub async fn answer(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, ReviewError> {
        let start = Instant::now();
        let asked = read(body)?;
        let response = match path {
            VALIDATE_PATH => self.validate.answer(&asked).await,
            MUTATE_PATH => self.mutate.answer(&asked),
            _ => AdmissionResponse::from(&asked),
        };
        let written = written(response).map_err(ReviewError::Answer)?;
        self.metrics
            .admitted(path.trim_start_matches('/'), start.elapsed());
        Ok(written)
    }
}

fn read(body: &[u8]) -> Result<Asked, ReviewError> {
    let review: AdmissionReview<DynamicObject> =
        serde_json::from_slice(body).map_err(|error| ReviewError::NotAReview(error.to_string()))?;
    if review.types.kind != META_KIND || review.types.api_version != META_API_VERSION_V1 {
        return Err(ReviewError::NotAReview(
            "another kind or version".to_owned(),
        ));
    }
    review
        .try_into()
        .map_err(|_| ReviewError::NotAReview("it has no request".to_owned()))
}

/// The answer as the API documents it: a patch is bytes, and bytes are base64 (`AdmissionResponse.patch`, format `byte`). kube would write
/// them as a list of numbers, which today's API servers happen to read as well.
fn written(mut response: AdmissionResponse) -> serde_json::Result<Vec<u8>> {
    let patch = response.patch.take();
    let mut review = serde_json::to_value(response.into_review())?;
    if let Some(patch) = patch {
        review["response"]["patch"] = BASE64_STANDARD.encode(patch).into();
    }
    serde_json::to_vec(&review)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn response() -> AdmissionResponse {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u-1", "operation": "CREATE", "userInfo": {}, "object": {"metadata": {}},
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
            },
        });
        AdmissionResponse::from(&read(review.to_string().as_bytes()).unwrap())
    }

    fn answer(response: AdmissionResponse) -> Value {
        serde_json::from_slice(&written(response).unwrap()).unwrap()
    }

    #[test]
    fn a_patch_is_base64_and_an_answer_without_one_has_no_such_field() {
        let patch = json_patch::diff(&json!({}), &json!({"a": "ü"}));
        let answered = answer(response().with_patch(patch).unwrap());
        let expected = BASE64_STANDARD.encode(r#"[{"op":"add","path":"/a","value":"ü"}]"#);
        assert_eq!(answered["response"]["patch"], expected);
        assert_eq!(answered["response"]["patchType"], "JSONPatch");
        assert_eq!(answered["response"]["uid"], "u-1");
        assert_eq!(answered["kind"], "AdmissionReview");

        let answered = answer(response());
        assert_eq!(answered["response"]["allowed"], true);
        assert_eq!(answered["response"].get("patch"), None);
    }
}
