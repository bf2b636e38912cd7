//! Connections that are lost anywhere: whatever frames messages are made of, and wherever they are cut, each arrives once and in order.

use std::cell::RefCell;

use super::super::super::codec::Header;
use super::resume::{ack, stage_resuming};
use super::*;

/// Losses of each run.
const LOSSES: u32 = 60;

/// A deterministic source of choices (xorshift).
struct Dice(u32);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound.max(1)
    }

    /// A message with a number in it. Some begin as control messages do, some only nearly.
    fn message(&mut self, number: u32) -> Vec<u8> {
        let starts: [&[u8]; 6] = [b"", b"\xF5", b"\xF5bk", b"\xF5bk1", b"\xF5bk1\x02", b"\x01"];
        let mut message = starts[self.below(starts.len())].to_vec();
        message.extend(number.to_be_bytes());
        let size = [0, 1, 121, 130, 900][self.below(5)];
        message.resize(message.len() + size, number as u8);
        message
    }

    /// Its frames: any number of fragments, empty ones among them, and pings in between.
    fn frames(&mut self, masked: bool, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let (mut rest, mut opcode) = (message, 2);
        while self.below(3) > 0 {
            let (part, behind) = rest.split_at(self.below(rest.len() + 1));
            out.extend(frame(opcode, masked, part));
            if self.below(4) == 0 {
                out.extend(frame(0x89, masked, b"ping"));
            }
            (rest, opcode) = (behind, 0);
        }
        out.extend(frame(0x80 | opcode, masked, rest));
        out
    }
}

/// Puts fragments together. Gives messages; control frames are passed over.
#[derive(Default)]
struct Assembly {
    bytes: Vec<u8>,
    message: Vec<u8>,
}

impl Assembly {
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let header = parse_header(&self.bytes).unwrap()?;
            let Header { size, length, .. } = header;
            let end = size + length as usize;
            let mut payload = self.bytes.get(size..end)?.to_vec();
            self.bytes.drain(..end);
            if header.opcode.is_control() {
                continue;
            }
            apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
            self.message.extend(payload);
            if header.fin {
                return Some(std::mem::take(&mut self.message));
            }
        }
    }
}

/// What a client does with a message of the sidecar's or the application's: gives the latter.
fn unescaped(message: Vec<u8>) -> Option<Vec<u8>> {
    match message.strip_prefix(b"\xF5bk1") {
        Some(data @ [0xF5, ..]) => Some(data.to_vec()),
        Some(_) => None,
        None => Some(message),
    }
}

async fn read_messages(
    stream: &mut UnixStream,
    assembly: &mut Assembly,
    mut enough: impl FnMut(Vec<u8>) -> bool,
) {
    loop {
        while let Some(message) = assembly.next() {
            if enough(message) {
                return;
            }
        }
        let mut buffer = [0; 700];
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "the stream has ended");
        assembly.bytes.extend_from_slice(&buffer[..count]);
    }
}

async fn run(seed: u32) {
    let mut dice = Dice(seed);
    let mut stage = stage_resuming("{window: 60s, buffer: 4Mi}");
    let mut token = stage.greeted().await.token;
    let (mut from_application, mut to_application) =
        std::mem::replace(&mut stage.application, UnixStream::pair().unwrap().0).into_split();
    let arrived: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let reading = {
        let arrived = Rc::clone(&arrived);
        spawn_local(async move {
            let mut assembly = Assembly::default();
            let mut buffer = [0; 700];
            while let Ok(count @ 1..) = from_application.read(&mut buffer).await {
                assembly.bytes.extend_from_slice(&buffer[..count]);
                while let Some(message) = assembly.next() {
                    arrived.borrow_mut().push(message);
                }
            }
        })
    };
    let (mut said, mut asked, mut heard) = (Vec::new(), Vec::new(), Vec::new());
    let mut known = 0;
    for loss in 0..=LOSSES {
        let is_last = loss == LOSSES;
        for _ in 0..dice.below(4) {
            let message = dice.message(said.len() as u32);
            let frames = dice.frames(false, &message);
            to_application.write_all(&frames).await.unwrap();
            said.push(message);
        }
        for _ in 0..dice.below(4) {
            asked.push(dice.message(asked.len() as u32));
        }
        let mut up = Vec::new();
        for message in &asked[known..] {
            let escaped = match message.starts_with(b"\xF5bk1") {
                true => [&b"\xF5bk1"[..], message].concat(),
                false => message.clone(),
            };
            up.extend(dice.frames(true, &escaped));
            if dice.below(3) == 0 {
                up.extend(ack(heard.len() as u64));
            }
        }
        let end = if is_last {
            up.len()
        } else {
            dice.below(up.len() + 1)
        };
        for part in up[..end].chunks(1 + dice.below(600)) {
            stage.client.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        let missing = said.len() - heard.len();
        let wanted = if is_last {
            missing
        } else {
            dice.below(missing + 1)
        };
        if wanted > 0 {
            let mut assembly = Assembly::default();
            let mut count = 0;
            read_messages(&mut stage.client, &mut assembly, |message| {
                heard.extend(unescaped(message).inspect(|_| count += 1));
                count == wanted
            })
            .await;
        }
        if is_last {
            within(async {
                while arrived.borrow().len() < asked.len() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            break;
        }
        if dice.below(2) == 0 {
            stage.cut().await;
        }
        let greeting = stage.come_back(&token, heard.len() as u64).await;
        known = greeting.count as usize;
        token = greeting.token;
    }
    assert_eq!(heard, said, "seed {seed}");
    assert_eq!(*arrived.borrow(), asked, "seed {seed}");
    reading.abort();
}

#[tokio::test(flavor = "local")]
async fn each_message_arrives_once_and_in_order_wherever_connections_are_cut() {
    for seed in 1..=20 {
        run(seed * 7919).await;
    }
}
