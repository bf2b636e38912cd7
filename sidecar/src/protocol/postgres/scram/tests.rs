//! The exchange, with another implementation as the client.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;

use super::*;

const PLAIN: Mechanism = Mechanism::ScramSha256;
const PLUS: Mechanism = Mechanism::ScramSha256Plus;

/// One exchange with the client that tokio-postgres uses.
fn exchange(
    verifier: &ScramVerifier,
    password: &str,
    mechanism: Mechanism,
    binding: ChannelBinding,
    end_point: Option<&[u8]>,
) -> Result<(), ScramError> {
    let mut client = ScramSha256::new(password.as_bytes(), binding);
    let challenge = verifier.challenge(mechanism, end_point, client.message(), "c2VydmVy")?;
    client.update(challenge.server_first().as_bytes()).unwrap();
    let server_final = challenge.finish(client.message())?;
    client.finish(server_final.as_bytes()).unwrap();
    Ok(())
}

#[test]
fn the_example_of_rfc_7677() {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = ScramVerifier::with_salt("pencil", salt.try_into().unwrap());
    let challenge = verifier
        .challenge(
            PLAIN,
            None,
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
        .unwrap();
    assert_eq!(
        challenge.server_first(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let server_final = challenge.finish(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    );
    assert_eq!(
        server_final.as_deref(),
        Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    );
}

#[test]
fn one_verifier_serves_many_logins() {
    let verifier = ScramVerifier::new("secret");
    for _ in 0..2 {
        let unbound = ChannelBinding::unsupported();
        assert_eq!(exchange(&verifier, "secret", PLAIN, unbound, None), Ok(()));
    }
}

#[test]
fn another_password_is_refused() {
    let verifier = ScramVerifier::new("secret");
    let unbound = ChannelBinding::unsupported();
    assert_eq!(
        exchange(&verifier, "Secret", PLAIN, unbound, None),
        Err(ScramError::Proof)
    );
}

#[test]
fn a_bound_channel_must_be_the_same_at_both_ends() {
    let verifier = ScramVerifier::new("secret");
    let bound = |hash: &[u8]| ChannelBinding::tls_server_end_point(hash.to_vec());
    assert_eq!(
        exchange(&verifier, "secret", PLUS, bound(b"here"), Some(b"here")),
        Ok(())
    );
    assert_eq!(
        exchange(&verifier, "secret", PLUS, bound(b"there"), Some(b"here")),
        Err(ScramError::ChannelBinding)
    );
}

#[test]
fn a_downgrade_is_noticed() {
    let verifier = ScramVerifier::new("secret");
    let unrequested = ChannelBinding::unrequested;
    assert_eq!(
        exchange(&verifier, "secret", PLAIN, unrequested(), Some(b"here")),
        Err(ScramError::Downgrade)
    );
    assert_eq!(
        exchange(&verifier, "secret", PLAIN, unrequested(), None),
        Ok(())
    );
}

#[test]
fn flag_and_mechanism_go_together() {
    let verifier = ScramVerifier::new("secret");
    let error = |mechanism, end_point, first: &[u8]| {
        verifier
            .challenge(mechanism, end_point, first, "x")
            .map(|_| ())
            .unwrap_err()
    };
    let here = Some(&b"here"[..]);
    let bound = b"p=tls-server-end-point,,n=,r=a";
    assert_eq!(error(PLAIN, here, bound), ScramError::ChannelBindingFlag);
    assert_eq!(error(PLUS, None, bound), ScramError::ChannelBindingFlag);
    assert_eq!(
        error(PLUS, here, b"n,,n=,r=a"),
        ScramError::ChannelBindingFlag
    );
    assert_eq!(
        error(PLUS, here, b"p=tls-unique,,n=,r=a"),
        ScramError::ChannelBindingType
    );
    assert_eq!(
        error(PLAIN, None, b"n,a=bob,n=,r=a"),
        ScramError::AuthorizationIdentity
    );
}

#[test]
fn malformed_messages_are_refused() {
    let verifier = ScramVerifier::new("secret");
    for first in [
        &b""[..],
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=",
        b"n,,n=,r=",
        b"n,,m=x,n=,r=a",
        b"n,,n=,r=\x00",
        b"x,,n=,r=a",
    ] {
        let error = verifier.challenge(PLAIN, None, first, "x").map(|_| ());
        assert!(matches!(error, Err(ScramError::Malformed(_))), "{first:?}");
    }
    let challenge = verifier.challenge(PLAIN, None, b"n,,n=,r=a", "x").unwrap();
    for last in [
        &b""[..],
        b"c=biws",
        b"c=biws,r=ax",
        b"c=biws,r=ax,p=",
        b"c=biws,r=ax,p=AAAA",
        b"p=x",
    ] {
        assert!(
            matches!(challenge.finish(last), Err(ScramError::Malformed(_))),
            "{last:?}"
        );
    }
    let proof = BASE64.encode([0; KEY]);
    let with = |text: &str| challenge.finish(format!("{text},p={proof}").as_bytes());
    assert_eq!(with("c=eSws,r=ax"), Err(ScramError::ChannelBinding));
    assert_eq!(with("c=biws,r=ay"), Err(ScramError::Nonce));
    assert_eq!(with("c=biws,r=ax"), Err(ScramError::Proof));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_let_anyone_in(first: Vec<u8>, last: Vec<u8>) {
        let verifier = ScramVerifier {
            salt: [0; SALT],
            stored_key: [0; KEY],
            server_key: [0; KEY],
        };
        let _ = verifier.challenge(PLAIN, None, &first, "x");
        let challenge = verifier.challenge(PLAIN, None, b"n,,n=,r=a", "x").unwrap();
        prop_assert!(challenge.finish(&last).is_err());
    }
}
