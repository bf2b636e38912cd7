//! Messages without a body. Each function appends one.

macro_rules! empty {
    ($($(#[$doc:meta])* $name:ident $tag:literal)+) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(out: &mut Vec<u8>) {
                out.extend_from_slice(&[$tag, 0, 0, 0, 4]);
            }
        )+
    };
}

empty!(
    /// Sync, of a client: the end of an extended query.
    sync b'S'
    /// Flush, of a client: send what is buffered.
    flush b'H'
    /// `ParseComplete`, of a server.
    parse_complete b'1'
    /// `BindComplete`, of a server.
    bind_complete b'2'
    /// `CloseComplete`, of a server.
    close_complete b'3'
    /// `NoData`, of a server: the statement described returns no rows.
    no_data b'n'
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut out = Vec::new();
        for write in [
            sync,
            flush,
            parse_complete,
            bind_complete,
            close_complete,
            no_data,
        ] {
            write(&mut out);
        }
        let tags: Vec<u8> = out.chunks(5).map(|message| message[0]).collect();
        assert_eq!(tags, b"SH123n");
        assert!(out.chunks(5).all(|message| message[1..] == [0, 0, 0, 4]));
    }
}
