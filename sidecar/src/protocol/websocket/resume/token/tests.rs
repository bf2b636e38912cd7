use proptest::prelude::*;

use super::*;

fn key(root: u8, purpose: &str) -> TokenKey {
    let root = hmac::Key::new(hmac::HMAC_SHA256, &[root; 32]);
    TokenKey::derive(&root, &[purpose])
}

fn sealer(root: u8) -> Sealer {
    Sealer::new(key(root, "chat"), Vec::new())
}

fn token(pod: PodAddress) -> SessionToken {
    SessionToken {
        pod,
        worker: 3,
        session: SessionId([7; SESSION]),
        generation: 0x0102_0304,
    }
}

fn at(address: &str) -> PodAddress {
    PodAddress::At(address.parse().unwrap())
}

/// A token as it would be if its body were these bytes, sealed rightly.
fn sealed(sealer: &Sealer, body: &[u8]) -> String {
    let authenticator = sealer.seals.authenticator(body);
    let bytes = [body, &authenticator.as_ref()[..AUTHENTICATOR]].concat();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that the authenticator is over.
fn body(sealer: &Sealer, pod: PodAddress) -> Vec<u8> {
    let mut bytes = URL_SAFE_NO_PAD.decode(sealer.seal(&token(pod))).unwrap();
    bytes.truncate(bytes.len() - AUTHENTICATOR);
    bytes
}

#[test]
fn what_was_sealed_is_opened_wherever_the_pod_is() {
    let sealer = sealer(1);
    for (pod, length) in [
        (PodAddress::Here, 59),
        (at("10.1.2.3:9433"), 67),
        (at("[fd00::1:2]:65535"), 83),
    ] {
        let sealed = sealer.seal(&token(pod));
        assert_eq!(sealed.len(), length, "{pod:?}");
        assert!(
            sealed
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_eq!(sealer.open(&sealed), Ok(token(pod)));
    }
}

#[test]
fn the_bytes_are_these() {
    let sealer = sealer(1);
    let bytes = body(&sealer, at("10.1.2.3:9433"));
    let name = key(1, "chat").name;
    let expected = [
        &[1][..],
        &name,
        &[0, 3],
        &[1, 2, 3, 4],
        &[7; 16],
        &[4, 10, 1, 2, 3],
        &[0x24, 0xd9],
    ]
    .concat();
    assert_eq!(bytes, expected);
}

#[test]
fn a_successor_opens_what_its_predecessor_has_sealed_and_the_other_way_where_both_are_known() {
    let (old, new) = (key(1, "chat"), key(2, "chat"));
    let before = Sealer::new(old.clone(), vec![new.clone()]);
    let after = Sealer::new(new, vec![old]);
    let it = token(PodAddress::Here);
    assert_eq!(after.open(&before.seal(&it)), Ok(it));
    assert_eq!(before.open(&after.seal(&it)), Ok(it));
    assert_eq!(
        sealer(2).open(&before.seal(&it)),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn another_entrys_token_is_nobodys() {
    let of = |purpose| Sealer::new(key(1, purpose), Vec::new());
    let sealed = of("chat").seal(&token(PodAddress::Here));
    assert_eq!(of("chat2").open(&sealed), Err(TokenError::UnknownKey));
    // Purposes are told apart whatever their texts are.
    let root = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
    let names = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["abc", ""]]
        .map(|purpose| TokenKey::derive(&root, purpose).name);
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{names:?}");
    }
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let sealer = sealer(1);
    let bytes = URL_SAFE_NO_PAD
        .decode(sealer.seal(&token(at("10.1.2.3:9433"))))
        .unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let refused = sealer.open(&URL_SAFE_NO_PAD.encode(&changed)).unwrap_err();
            let expected = match at {
                0 => TokenError::Malformed,
                1..=4 => TokenError::UnknownKey,
                _ => TokenError::Forged,
            };
            assert_eq!(refused, expected, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused_by_its_reason() {
    let sealer = sealer(1);
    let good = sealer.seal(&token(PodAddress::Here));
    let name = sealer.seals.name;
    for (text, error) in [
        (String::new(), TokenError::Malformed),
        ("AQ".to_owned(), TokenError::Malformed),
        (format!("{good}="), TokenError::Malformed),
        (format!("{good}A"), TokenError::Forged),
        (format!(" {good}"), TokenError::Malformed),
        (good.replace(&good[20..22], "+/"), TokenError::Malformed),
        ("é".repeat(40), TokenError::Malformed),
        ("A".repeat(83), TokenError::Malformed),
        ("A".repeat(512), TokenError::Malformed),
        ("A".repeat(1 << 20), TokenError::Malformed),
        (good[..good.len() - 4].to_owned(), TokenError::Malformed),
        (
            sealed(&sealer, &[&[2][..], &name].concat()),
            TokenError::Malformed,
        ),
    ] {
        assert_eq!(
            sealer.open(&text),
            Err(error),
            "{}",
            &text[..text.len().min(90)]
        );
    }
}

#[test]
fn what_is_sealed_rightly_and_means_nothing_is_refused() {
    let sealer = sealer(1);
    let here = body(&sealer, PodAddress::Here);
    let (fixed, _) = here.split_at(FIXED);
    let of = |place: &[u8]| sealer.open(&sealed(&sealer, &[fixed, place].concat()));
    assert!(of(&[0]).is_ok());
    assert!(of(&[4, 1, 2, 3, 4, 0, 1]).is_ok());
    for place in [
        &[][..],
        &[0, 0],
        &[4],
        &[4, 1, 2, 3, 4],
        &[4, 1, 2, 3, 0, 1],
        &[4, 1, 2, 3, 4, 5, 0, 1],
        &[6, 1, 2, 3, 4, 0, 1],
        &[5, 1, 2, 3, 4, 0, 1],
    ] {
        assert_eq!(of(place), Err(TokenError::Malformed), "{place:?}");
    }
}

#[test]
fn nothing_is_shown_of_a_key_and_little_of_a_session() {
    assert_eq!(format!("{:?}", sealer(1)), "Sealer(1 keys)");
    let shown = format!("{:?}", SessionId([0xab; SESSION]));
    assert_eq!(shown, "SessionId(ababab…)");
    assert_ne!(SessionId::random(), SessionId::random());
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "[A-Za-z0-9_-]{0,100}|\\PC{0,90}") {
        prop_assert!(sealer(1).open(&text).is_err());
    }

    #[test]
    fn every_token_comes_back(worker: u16, generation: u32, session: [u8; SESSION], ip: Option<IpAddr>, port: u16) {
        let pod = ip.map_or(PodAddress::Here, |ip| PodAddress::At(SocketAddr::new(ip, port)));
        let token = SessionToken { pod, worker, session: SessionId(session), generation };
        let sealer = sealer(1);
        prop_assert_eq!(sealer.open(&sealer.seal(&token)), Ok(token));
    }
}
