//! What is due: pure, without a clock or a cluster.

use std::time::{Duration, SystemTime};

use super::CertificateError;
use super::make::{self, Facts, Identity, Purpose};
use super::stored::Stored;

/// How long things live, and for whom they are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the authorities are called.
    pub name: &'static str,
    /// What the certificates are for.
    pub purpose: Purpose,
    /// How long an authority lives.
    pub authority: Duration,
    /// How long a certificate lives: at most a third of that.
    pub certificate: Duration,
    /// The names that it is for.
    pub names: Vec<String>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// There is nothing yet, or nothing of use.
    Begin,
    /// A new authority is to be announced, before it issues anything.
    NewAuthority,
    /// The newest authority is to issue a new certificate.
    NewCertificate,
}

impl Plan {
    /// What is due. `announced` says whether everybody who is to trust the authorities in `stored` has had the time to.
    #[must_use]
    pub fn due(&self, stored: Option<&Stored>, announced: bool, now: SystemTime) -> Step {
        let Some(stored) = stored else {
            return Step::Begin;
        };
        let (Ok(authorities), Ok(shown)) = (
            make::each(&stored.authorities),
            make::facts(&stored.shown.certificate),
        ) else {
            return Step::Begin;
        };
        let Some((newest, _)) = authorities.first() else {
            return Step::Begin;
        };
        if rcgen::KeyPair::from_pem(&stored.authority_key).is_err() || newest.expires <= now {
            return Step::Begin;
        }
        self.due_of(newest, &shown, announced, now)
    }

    fn due_of(&self, newest: &Facts, shown: &Facts, announced: bool, now: SystemTime) -> Step {
        let left = |of: &Facts| of.expires.duration_since(now).unwrap_or_default();
        // One that is not trusted yet is better than one that is not valid any more, or is for somebody else.
        if left(shown) < self.certificate / 10
            || !self.names.iter().all(|name| shown.names.contains(name))
        {
            return Step::NewCertificate;
        }
        // Two certificates' lifetimes ahead: one for what is shown now, one for the overlap.
        if left(newest) < self.certificate * 2 {
            return Step::NewAuthority;
        }
        let superseded = shown.issuer != newest.subject;
        let old = left(shown) < self.certificate / 3;
        if (superseded && announced) || (old && !superseded) {
            return Step::NewCertificate;
        }
        Step::Nothing
    }

    /// What is to be stored after `step`; none after [`Step::Nothing`].
    ///
    /// # Errors
    /// Those of making keys and certificates.
    pub fn take(
        &self,
        step: Step,
        stored: Option<&Stored>,
        now: SystemTime,
    ) -> Result<Option<Stored>, CertificateError> {
        match (step, stored) {
            (Step::Nothing, _) => Ok(None),
            (Step::NewAuthority, Some(stored)) => {
                let authority = make::authority(self.name, now, self.authority)?;
                let still_trusted: String = make::each(&stored.authorities)?
                    .into_iter()
                    .filter(|(facts, _)| facts.expires > now)
                    .map(|(_, pem)| pem)
                    .collect();
                Ok(Some(Stored {
                    authorities: format!("{}{still_trusted}", authority.certificate),
                    authority_key: authority.key,
                    shown: stored.shown.clone(),
                }))
            }
            (Step::NewCertificate, Some(stored)) => {
                let newest = Identity {
                    certificate: stored.authorities.clone(),
                    key: stored.authority_key.clone(),
                };
                Ok(Some(Stored {
                    shown: make::issue(&newest, self.purpose, &self.names, now, self.certificate)?,
                    ..stored.clone()
                }))
            }
            (Step::Begin, _) | (_, None) => {
                let authority = make::authority(self.name, now, self.authority)?;
                Ok(Some(Stored {
                    shown: make::issue(
                        &authority,
                        self.purpose,
                        &self.names,
                        now,
                        self.certificate,
                    )?,
                    authorities: authority.certificate,
                    authority_key: authority.key,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn plan() -> Plan {
        Plan {
            name: "test",
            purpose: Purpose::Server,
            authority: 30 * HOUR,
            certificate: 6 * HOUR,
            names: vec!["here".to_owned()],
        }
    }

    /// Whole seconds, as certificates have them.
    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn begun() -> Stored {
        plan().take(Step::Begin, None, start()).unwrap().unwrap()
    }

    #[test]
    fn what_is_new_needs_nothing_and_is_renewed_after_two_thirds_of_its_life() {
        let stored = begun();
        let due = |hours: f64| plan().due(Some(&stored), true, start() + HOUR.mul_f64(hours));
        assert_eq!(due(0.0), Step::Nothing);
        assert_eq!(due(3.9), Step::Nothing);
        assert_eq!(due(4.1), Step::NewCertificate);
        assert_eq!(due(6.1), Step::NewCertificate);
    }

    #[test]
    fn a_new_authority_is_announced_before_it_issues() {
        let late = start() + 18 * HOUR + HOUR / 2;
        let stored = plan()
            .take(Step::NewCertificate, Some(&begun()), start() + 17 * HOUR)
            .unwrap()
            .unwrap();
        assert_eq!(plan().due(Some(&stored), true, late), Step::NewAuthority);
        let announced = plan()
            .take(Step::NewAuthority, Some(&stored), late)
            .unwrap()
            .unwrap();
        assert!(announced.shown == stored.shown);
        assert_eq!(make::each(&announced.authorities).unwrap().len(), 2);
        // Until the API server has it, nothing is shown that it would not trust.
        assert_eq!(plan().due(Some(&announced), false, late), Step::Nothing);
        assert_eq!(
            plan().due(Some(&announced), true, late),
            Step::NewCertificate
        );
        let renewed = plan()
            .take(Step::NewCertificate, Some(&announced), late)
            .unwrap()
            .unwrap();
        assert_eq!(
            make::facts(&renewed.shown.certificate).unwrap().issuer,
            make::facts(&announced.authorities).unwrap().subject
        );
        assert_eq!(plan().due(Some(&renewed), true, late), Step::Nothing);
    }

    #[test]
    fn an_authority_leaves_the_bundle_when_it_has_expired() {
        let after = start() + 31 * HOUR;
        let stored = plan()
            .take(Step::NewAuthority, Some(&begun()), after)
            .unwrap()
            .unwrap();
        assert_eq!(make::each(&stored.authorities).unwrap().len(), 1);
    }

    #[test]
    fn a_certificate_about_to_end_is_replaced_whether_or_not_its_authority_is_announced() {
        let stored = begun();
        let announced = plan()
            .take(Step::NewAuthority, Some(&stored), start())
            .unwrap()
            .unwrap();
        let last_minute = start() + HOUR.mul_f64(5.5);
        assert_eq!(
            plan().due(Some(&announced), false, last_minute),
            Step::NewCertificate
        );
    }

    #[test]
    fn what_is_for_another_name_or_not_whole_is_replaced_at_once() {
        let stored = begun();
        let elsewhere = Plan {
            names: vec!["there".to_owned()],
            ..plan()
        };
        assert_eq!(
            elsewhere.due(Some(&stored), false, start()),
            Step::NewCertificate
        );
        assert_eq!(plan().due(None, true, start()), Step::Begin);
        for broken in [
            Stored {
                authorities: "?".to_owned(),
                ..stored.clone()
            },
            Stored {
                authority_key: "?".to_owned(),
                ..stored.clone()
            },
            Stored {
                shown: Identity {
                    certificate: "?".to_owned(),
                    key: "?".to_owned(),
                },
                ..stored.clone()
            },
        ] {
            assert_eq!(plan().due(Some(&broken), true, start()), Step::Begin);
        }
        assert_eq!(
            plan().due(Some(&stored), true, start() + 31 * HOUR),
            Step::Begin
        );
    }
}
