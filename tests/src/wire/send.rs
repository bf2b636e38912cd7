//! The messages of a client, as bytes. A batch is `[parse(…), bind(…), sync()].concat()`.

/// A message of type `tag`.
///
/// # Panics
/// When the body is longer than the protocol can say.
#[must_use]
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A message of the start-up phase, which has a length and no type.
///
/// # Panics
/// When the body is longer than the protocol can say.
#[must_use]
pub fn untyped(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

/// `StartupMessage`.
#[must_use]
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(terminated(name));
        body.extend(terminated(value));
    }
    body.push(0);
    untyped(&body)
}

/// `SSLRequest`.
#[must_use]
pub fn ssl_request() -> Vec<u8> {
    untyped(&80_877_103_u32.to_be_bytes())
}

/// `GSSENCRequest`.
#[must_use]
pub fn gssenc_request() -> Vec<u8> {
    untyped(&80_877_104_u32.to_be_bytes())
}

/// `CancelRequest`.
#[must_use]
pub fn cancel(pid: u32, secret: &[u8]) -> Vec<u8> {
    untyped(
        &[
            &80_877_102_u32.to_be_bytes()[..],
            &pid.to_be_bytes(),
            secret,
        ]
        .concat(),
    )
}

/// `Query`.
#[must_use]
pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &terminated(sql))
}

/// `Parse`, the parameters' types left to the server.
#[must_use]
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(
        b'P',
        &[terminated(name), terminated(sql), vec![0, 0]].concat(),
    )
}

/// `Bind`, everything as text.
///
/// # Panics
/// When there are more parameters than the protocol can say.
#[must_use]
pub fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = [terminated(portal), terminated(statement), vec![0, 0]].concat();
    body.extend(u16::try_from(parameters.len()).unwrap().to_be_bytes());
    for parameter in parameters {
        body.extend(u32::try_from(parameter.len()).unwrap().to_be_bytes());
        body.extend(parameter.as_bytes());
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

/// `Describe` of a prepared statement.
#[must_use]
pub fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &[b"S", &terminated(name)[..]].concat())
}

/// `Describe` of a portal.
#[must_use]
pub fn describe_portal(name: &str) -> Vec<u8> {
    message(b'D', &[b"P", &terminated(name)[..]].concat())
}

/// `Execute`; `rows` 0 is all.
#[must_use]
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    message(
        b'E',
        &[&terminated(portal)[..], &rows.to_be_bytes()].concat(),
    )
}

/// `Close` of a prepared statement.
#[must_use]
pub fn close_statement(name: &str) -> Vec<u8> {
    message(b'C', &[b"S", &terminated(name)[..]].concat())
}

/// `Close` of a portal.
#[must_use]
pub fn close_portal(name: &str) -> Vec<u8> {
    message(b'C', &[b"P", &terminated(name)[..]].concat())
}

/// `Sync`.
#[must_use]
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// `Flush`.
#[must_use]
pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// `Terminate`.
#[must_use]
pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// `CopyData`.
#[must_use]
pub fn copy_data(data: &[u8]) -> Vec<u8> {
    message(b'd', data)
}

/// `CopyDone`.
#[must_use]
pub fn copy_done() -> Vec<u8> {
    message(b'c', &[])
}

/// `CopyFail`.
#[must_use]
pub fn copy_fail(reason: &str) -> Vec<u8> {
    message(b'f', &terminated(reason))
}

/// `FunctionCall` of the function with the object id `function`, everything as text.
///
/// # Panics
/// When there are more arguments than the protocol can say.
#[must_use]
pub fn function_call(function: u32, arguments: &[&str]) -> Vec<u8> {
    let mut body = [&function.to_be_bytes()[..], &[0, 0]].concat();
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for argument in arguments {
        body.extend(u32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend(argument.as_bytes());
    }
    body.extend([0, 0]);
    message(b'F', &body)
}

/// The messages that prepare, bind and run the unnamed statement, without `Sync`.
#[must_use]
pub fn run_unnamed(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
