//! Reviews as they come and go: which webhook, what is asked, and the answer's envelope.

use std::time::Instant;

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
        let written = serde_json::to_vec(&response.into_review()).map_err(ReviewError::Answer)?;
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
