//! A sidecar with the command line and the mounts that it has in an injected pod: the operator's snapshots, one volume of
//! secrets, and a folder of its own that outlives its container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::PATIENCE;
use crate::policy::Policy;
use crate::processes::folder;
use crate::sidecar::{CommandLine, Launch, Sidecar, on_free_ports};
use crate::stage::{Setting, Stage};
use crate::volume::Volume;

/// A pod with nothing in it but the sidecar.
#[derive(Debug)]
pub struct Pod {
    /// The sidecar's container of this moment, and ways to it.
    pub stage: Stage,
    /// What the operator has published.
    pub published: Volume,
    mounts: Mounts,
    launch: Launch,
    secrets: BTreeMap<String, String>,
    projected: Volume,
}

/// Where things are mounted.
#[derive(Clone, Debug)]
struct Mounts {
    home: PathBuf,
    published: PathBuf,
    secrets: PathBuf,
    run: PathBuf,
}

impl Setting<'_> {
    /// Starts it in a pod.
    pub async fn start_in_a_pod(self) -> Pod {
        let database = self.server.database().await;
        let place = self.server.place().clone();
        let launch = self.launch();
        let mounts = Mounts::below(folder("pod"));
        let (published, projected) = (
            Volume::at(mounts.published.clone()),
            Volume::at(mounts.secrets.clone()),
        );
        let secrets: BTreeMap<String, String> = launch.secrets.iter().cloned().collect();
        projected.publish(as_files(&secrets));
        let sidecar = on_free_ports(|port, admin| {
            let policy = self.policy.clone().completed(port, place.port, &database);
            published.publish([("v1.json", policy.snapshot().0.as_str())]);
            Sidecar::try_start(
                mounts.command_line(policy, port, admin, &launch),
                launch.ready,
            )
        });
        Pod {
            stage: Stage {
                sidecar,
                database,
                place,
            },
            published,
            mounts,
            launch,
            secrets,
            projected,
        }
    }
}

impl Pod {
    /// Publishes a policy, as the operator does; gives the revision that it has.
    #[must_use]
    pub fn publish(&self, policy: &Policy) -> String {
        let (text, revision) = policy.snapshot();
        self.published.publish([("v1.json", text.as_str())]);
        revision
    }

    /// The policy that the sidecar was given last, ports filled in.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.stage.sidecar.policy().clone()
    }

    /// Writes a file of the secrets' volume, `NAME/KEY`.
    pub fn write_secret(&mut self, name: &str, text: &str) {
        self.secrets.insert(name.to_owned(), text.to_owned());
        self.projected.publish(as_files(&self.secrets));
    }

    /// The file in which the accepted snapshot is kept.
    #[must_use]
    pub fn accepted(&self) -> PathBuf {
        self.mounts.run.join("accepted")
    }

    /// Kills the container and starts another one on the same mounts.
    ///
    /// # Panics
    /// When that does not come up; [`Pod::try_restart`] says why.
    pub fn restart(&mut self) {
        let restarted = self.try_restart();
        restarted.unwrap_or_else(|text| panic!("the container does not start again:\n{text}"));
    }

    /// The same, where it may not come up.
    ///
    /// # Errors
    /// What the new container says.
    pub fn try_restart(&mut self) -> Result<(), String> {
        let old = &mut self.stage.sidecar;
        old.kill();
        old.wait(PATIENCE);
        let (policy, port, admin) = (old.policy().clone(), old.port(), old.admin());
        let line = self.mounts.command_line(policy, port, admin, &self.launch);
        self.stage.sidecar = Sidecar::try_start(line, self.launch.ready)?;
        Ok(())
    }
}

impl Mounts {
    fn below(home: PathBuf) -> Self {
        let run = home.join("run");
        std::fs::create_dir(&run).unwrap();
        Self {
            published: home.join("policy"),
            secrets: home.join("secrets"),
            run,
            home,
        }
    }

    fn command_line(&self, policy: Policy, port: u16, admin: u16, launch: &Launch) -> CommandLine {
        let control = self.run.join("control.sock");
        let mut arguments: Vec<OsString> = vec![
            "--snapshot".into(),
            self.published.clone().into(),
            "--accepted".into(),
            self.run.join("accepted").into(),
            "--secrets".into(),
            self.secrets.clone().into(),
            "--admin".into(),
            format!(":{admin}").into(),
            "--control".into(),
            control.clone().into(),
            "--grace".into(),
            launch.grace.into(),
            "--workers".into(),
            launch.workers.to_string().into(),
        ];
        arguments.extend(launch.arguments.iter().map(OsString::from));
        CommandLine {
            home: self.home.clone(),
            policy,
            port,
            admin,
            control,
            arguments,
            variables: launch.variables.clone(),
            hidden: launch.hidden(),
            group: launch.group.clone(),
        }
    }
}

fn as_files(secrets: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    secrets
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
}
