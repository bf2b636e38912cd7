//! A headless Chromium in the hands of a test, by the Chrome DevTools Protocol: tabs that are opened, told what to run, photographed and
//! closed as a person closes them.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::processes::{Running, folder};
use crate::{PATIENCE, programs, wait};

/// A browser that runs.
#[derive(Debug)]
pub struct Browser {
    _process: Running,
    port: u16,
    control: DevTools,
}

/// A tab.
#[derive(Debug)]
pub struct Page {
    id: String,
    control: DevTools,
}

/// One conversation with the browser, or with one of its tabs.
#[derive(Debug)]
struct DevTools {
    socket: WebSocketStream<TcpStream>,
    asked: u64,
}

impl Browser {
    /// Starts one with a profile of its own, which knows no address but this machine's.
    ///
    /// # Panics
    /// When it is missing, or does not come up.
    pub async fn start() -> Self {
        let home = folder("browser");
        let profile = home.clone();
        let start = tokio::task::spawn_blocking(move || Self::begin(profile));
        let (process, told) = start
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let (port, path) = told.trim().split_once('\n').expect("a port and a path");
        let port = port.parse().unwrap();
        Self {
            _process: process,
            port,
            control: DevTools::open(port, path).await,
        }
    }

    fn begin(profile: PathBuf) -> (Running, String) {
        let log = std::fs::File::create(profile.join("log")).unwrap();
        let mut command = Command::new(programs::chromium());
        command
            .args([
                "--headless=new",
                "--remote-debugging-port=0",
                "--no-first-run",
            ])
            // A test's own pages; the sandbox wants rights that a container has not, and refuses root.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-sync",
                "--disable-extensions",
                "--hide-scrollbars",
            ])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.display()))
            .env("HOME", &profile)
            .arg("about:blank")
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut process = Running::start("chromium", &mut command);
        // The file is written at once, and the second line is its last.
        let told = wait::blocking(PATIENCE * 3, || {
            let ended = process.exited();
            assert!(
                ended.is_none(),
                "chromium has ended: {ended:?}\n{}",
                said(&profile)
            );
            let told = std::fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
            told.contains("/devtools/").then_some(told)
        });
        let told = told.unwrap_or_else(|| panic!("chromium does not come up\n{}", said(&profile)));
        (process, told)
    }

    /// Opens a tab at `url`, and waits until the page has loaded.
    ///
    /// # Panics
    /// When it does not load.
    pub async fn open(&mut self, url: &str) -> Page {
        let blank = json!({"url": "about:blank"});
        let target = self.control.ask("Target.createTarget", blank).await;
        let id = target["targetId"].as_str().unwrap().to_owned();
        let path = format!("/devtools/page/{id}");
        let mut page = Page {
            id,
            control: DevTools::open(self.port, &path).await,
        };
        page.control.ask("Page.enable", json!({})).await;
        let found = page.control.ask("Page.navigate", json!({"url": url})).await;
        assert!(found["errorText"].is_null(), "{url}: {found}");
        page.control.hear("Page.loadEventFired").await;
        page
    }

    /// Closes a tab, as a person does by its cross.
    ///
    /// # Panics
    /// When there is no such tab.
    pub async fn close(&mut self, page: Page) {
        let target = json!({"targetId": page.id});
        self.control.ask("Target.closeTarget", target).await;
    }
}

impl Page {
    /// Runs `body` as the body of an async function in the page: what it returns, as JSON.
    ///
    /// # Panics
    /// When it throws.
    pub async fn run(&mut self, body: &str) -> Value {
        let script = json!({
            "expression": format!("(async () => {{ {body} }})()"),
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let ran = self.control.ask("Runtime.evaluate", script).await;
        let thrown = &ran["exceptionDetails"];
        assert!(thrown.is_null(), "{}", thrown["exception"]["description"]);
        ran["result"]["value"].clone()
    }

    /// Waits until an expression holds in the page.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn until(&mut self, expression: &str) {
        let body = format!(
            "for (const end = Date.now() + {}; !({expression}); await new Promise((go) => setTimeout(go, 20)))
                 if (Date.now() > end) return document.body.innerText;",
            PATIENCE.as_millis()
        );
        let shown = self.run(&body).await;
        assert!(
            shown.is_null(),
            "not so: {expression}; the page shows {shown}"
        );
    }

    /// What the page looks like in a window of this size: a PNG.
    ///
    /// # Panics
    /// When the browser cannot say.
    pub async fn photograph(&mut self, width: u32, height: u32) -> Vec<u8> {
        let window =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.control
            .ask("Emulation.setDeviceMetricsOverride", window)
            .await;
        let shot = self
            .control
            .ask("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        BASE64_STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap()
    }
}

impl DevTools {
    async fn open(port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let opening =
            tokio_tungstenite::client_async(format!("ws://127.0.0.1:{port}{path}"), stream);
        let (socket, _) = wait::within("the browser's DevTools", opening)
            .await
            .unwrap();
        Self { socket, asked: 0 }
    }

    /// The answer to a command. What the browser says beside it is not heard.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let number = self.asked;
        let command = json!({"id": number, "method": method, "params": params});
        self.socket
            .send(Message::text(command.to_string()))
            .await
            .unwrap();
        let mut answer = self.until(method, |said| said["id"] == number).await;
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    async fn hear(&mut self, event: &str) {
        self.until(event, |said| said["method"] == event).await;
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let heard = async {
            loop {
                let message = self.socket.next().await.expect("the browser is there");
                let Ok(text) = message.unwrap().into_text() else {
                    continue;
                };
                let said = serde_json::from_str(&text).unwrap_or_default();
                if is_it(&said) {
                    return said;
                }
            }
        };
        // A script may wait for as long as a test does.
        let heard = tokio::time::timeout(PATIENCE * 12, heard).await;
        heard.unwrap_or_else(|_| panic!("no end of {what}"))
    }
}

fn said(profile: &std::path::Path) -> String {
    std::fs::read_to_string(profile.join("log")).unwrap_or_default()
}
