//! COPY, in and out, to its end and not.

use bulkhead_tests::wire::send;

use super::{Conversation, ask, row, say};

pub(super) fn copies() -> Vec<Conversation> {
    let begin = || ask("COPY things FROM STDIN", "G", "");
    let none = || ask("SELECT count(*) FROM things WHERE id = 9001", "TDCZ", "0");
    vec![
        row(
            "COPY in and out",
            vec![
                begin(),
                say(
                    [send::copy_data(b"9001\tx\n"), send::copy_done()],
                    "CZ",
                    "COPY 1",
                ),
                ask("COPY (SELECT 1) TO STDOUT", "HdcCZ", ""),
                ask("DELETE FROM things WHERE id = 9001", "CZ", "DELETE 1"),
            ],
        ),
        row(
            "CopyFail",
            vec![
                begin(),
                say(
                    [send::copy_data(b"9001\tx\n"), send::copy_fail("no more")],
                    "EZ",
                    "57014",
                ),
                none(),
            ],
        ),
        row(
            "Sync and Flush during COPY in",
            vec![
                say(
                    [
                        send::parse("", "COPY things FROM STDIN"),
                        send::bind("", "", &[]),
                        send::execute("", 0),
                    ],
                    "",
                    "",
                ),
                say([send::flush()], "12G", ""),
                say(
                    [
                        send::copy_data(b"9001\tx\n"),
                        send::sync(),
                        send::flush(),
                        send::copy_done(),
                        send::sync(),
                    ],
                    "CZ",
                    "COPY 1",
                ),
                ask("DELETE FROM things WHERE id = 9001", "CZ", "DELETE 1"),
            ],
        ),
        row(
            "An error in mid-COPY",
            vec![
                begin(),
                say(
                    [
                        send::copy_data(b"no number\tx\n"),
                        send::copy_data(b"9001\tx\n"),
                        send::copy_done(),
                    ],
                    "EZ",
                    "22P02",
                ),
                none(),
            ],
        ),
    ]
}
