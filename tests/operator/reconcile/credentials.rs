//! The Secrets that the operator makes itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_tests::wait;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::world::{PATIENCE, Scene, spec};

/// What is in a Secret of the scene, once it is there.
async fn content(scene: &Scene, name: &str) -> BTreeMap<String, String> {
    let api = Api::<Secret>::namespaced(scene.client.clone(), &scene.namespace);
    wait::until_within(PATIENCE, name, || async {
        api.get_opt(name).await.unwrap().is_some()
    })
    .await;
    let secret = api.get(name).await.unwrap();
    assert_eq!(secret.labels()["bulkhead.dev/owned"], "true");
    let text = |bytes: k8s_openapi::ByteString| String::from_utf8(bytes.0).unwrap();
    let data = secret.data.unwrap().into_iter();
    data.map(|(key, bytes)| (key, text(bytes))).collect()
}

#[tokio::test]
async fn a_token_of_the_private_key_is_one_of_the_public_key_set() {
    let scene = Scene::enabled().await;
    let mut policy = spec(json!({}));
    policy["identity"] = json!({"source": "SignedContext"});
    scene.apply("chat", policy).await;
    scene.until("chat", "Accepted", "Accepted").await;
    let keys = content(&scene, "bulkhead-context-keys").await;

    let private: Value = serde_json::from_str(&keys["signing.json"]).unwrap();
    let seed = URL_SAFE_NO_PAD
        .decode(private["d"].as_str().unwrap())
        .unwrap();
    // PKCS #8 of an Ed25519 seed (RFC 8410, section 7).
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend(seed);
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = private["kid"].as_str().map(str::to_owned);
    let token = encode(
        &header,
        &json!({"sub": "alice"}),
        &EncodingKey::from_ed_der(&der),
    )
    .unwrap();

    let public: JwkSet = serde_json::from_str(&keys["jwks.json"]).unwrap();
    let key = DecodingKey::from_jwk(public.find(header.kid.as_deref().unwrap()).unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let read = decode::<Value>(&token, &key, &rules).unwrap();
    assert_eq!(read.claims["sub"], "alice");
    assert!(
        !keys["jwks.json"].contains("\"d\""),
        "the public half alone"
    );
}

#[tokio::test]
async fn sidecars_that_may_reach_each_other_share_a_certificate_and_keys_of_session_tokens() {
    let scene = Scene::enabled().await;
    let mut policy = spec(json!({}));
    policy["webSockets"] =
        json!([{"name": "main", "listen": {"port": 8080}, "upstream": {"port": 8000}}]);
    scene.apply("chat", policy).await;
    scene.until("chat", "Accepted", "Accepted").await;
    let peers = content(&scene, "bulkhead-peers").await;
    for file in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        assert!(peers[file].starts_with("-----BEGIN "), "{file}");
    }
    let shown = bulkhead_operator::certificates::make::facts(&peers["tls.crt"]).unwrap();
    assert_eq!(
        shown.names,
        [format!("{}.peers.bulkhead.dev", scene.namespace)]
    );
    let keys = content(&scene, "bulkhead-context-keys").await;
    let resume: Value = serde_json::from_str(&keys["resume.json"]).unwrap();
    assert_eq!(resume["keys"][0]["kty"], "oct");
    assert!(!keys["jwks.json"].contains("oct"));
}

#[tokio::test]
async fn a_policy_issues_a_certificate_for_the_names_of_its_upstream() {
    let scene = Scene::enabled().await;
    scene
        .apply("chat", spec(json!({"listen": {"tls": "Issued"}})))
        .await;
    scene.until("chat", "Accepted", "Accepted").await;
    let issued = content(&scene, "bulkhead-issued-certificates").await;
    for file in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        assert!(
            issued[&format!("chat.{file}")].starts_with("-----BEGIN "),
            "{file}"
        );
    }
    // What is mounted is there, key by key, and the authority's key is not among it.
    let template = scene.templates().get("chat").await.unwrap();
    let mounted = serde_json::to_string(&template.spec.volumes).unwrap();
    assert!(mounted.contains("\"chat.tls.key\"") && mounted.contains("\"chat.ca.crt\""));
    assert!(!mounted.contains("ca.key"));
}
