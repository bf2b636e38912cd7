//! Pages in a real browser: the plain WebSocket API through the sidecar, and what a closed tab does.

use bulkhead_tests::browser::Browser;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::{Kind, Server, SocketStage};
use serde_json::json;

#[tokio::test]
async fn a_page_speaks_by_the_plain_web_socket_and_brings_its_token_as_a_subprotocol() {
    let server = Server::start(Kind::Starlette).await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), server.port()).await;
    let mut browser = Browser::start().await;
    let mut page = browser
        .open(&format!("http://127.0.0.1:{}/whoami", stage.port()))
        .await;
    let seen = page
        .run(
            "const next = (socket, type) => new Promise((go, no) => {
                 socket.addEventListener(type, go, { once: true });
                 if (type !== 'close') socket.addEventListener('close', ({ code }) => no(new Error('closed ' + code)), { once: true });
             });
             const token = 'bulkhead.token.' + btoa('alice').replaceAll('=', '');
             const socket = new WebSocket('ws://' + location.host + '/headers', ['chat', 'bulkhead.v1', token]);
             socket.binaryType = 'arraybuffer';
             const told = JSON.parse((await next(socket, 'message')).data);
             const heard = [];
             for (const message of ['hello', 'ü'.repeat(70000), new Uint8Array(200000).fill(7)]) {
                 socket.send(message);
                 const { data } = await next(socket, 'message');
                 heard.push(typeof data === 'string' ? data === message : new Uint8Array(data).every((byte) => byte === 7) && data.byteLength);
             }
             socket.close(4123, 'that was all');
             const { code, wasClean } = await next(socket, 'close');
             const user = told.headers.find(([name]) => name === 'x-bulkhead-user')[1];
             const named = told.headers.find(([name]) => name === 'sec-websocket-protocol')[1];
             // Without a token, and with the application selecting nothing.
             const refused = new WebSocket('ws://' + location.host + '/headers', ['chat', 'bulkhead.v1']);
             const { code: refusal } = await next(refused, 'close');
             const plain = new WebSocket('ws://' + location.host + '/ws', ['mqtt', 'bulkhead.v1', token]);
             await next(plain, 'open');
             return { protocol: socket.protocol, extensions: socket.extensions.split(';')[0], heard, code, wasClean, user, named, refusal, plain: plain.protocol };",
        )
        .await;
    assert_eq!(
        seen,
        json!({
            "protocol": "chat",
            "extensions": "permessage-deflate",
            "heard": [true, true, 200_000],
            "code": 4123,
            "wasClean": true,
            "user": "alice",
            "named": "chat",
            "refusal": 1006,
            "plain": "bulkhead.v1",
        })
    );
    stage.until_closes("4xxx", "client", 1.0).await;
}
