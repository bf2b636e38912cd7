//! Results that the sidecar answers itself: what a statement's parameters and rows look like, and the rows.
//!
//! Source: PostgreSQL documentation, "Message Formats": RowDescription, ParameterDescription, DataRow, EmptyQueryResponse.

use super::frame;

/// A type as the wire names it, by its object id, and the bytes of its values where that is fixed, else -1 or -2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    oid: u32,
    length: i16,
}

impl Type {
    /// `text`.
    pub const TEXT: Self = Self {
        oid: 25,
        length: -1,
    };
    /// `bool`.
    pub const BOOL: Self = Self { oid: 16, length: 1 };
    /// `int8`.
    pub const INT8: Self = Self { oid: 20, length: 8 };
    /// `float8`.
    pub const FLOAT8: Self = Self {
        oid: 701,
        length: 8,
    };
    /// `int4`.
    pub const INT4: Self = Self { oid: 23, length: 4 };
    /// `void`.
    pub const VOID: Self = Self {
        oid: 2278,
        length: 4,
    };

    /// Its object id.
    #[must_use]
    pub const fn oid(self) -> u32 {
        self.oid
    }
}

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i16)]
pub enum Format {
    /// As text.
    #[default]
    Text = 0,
    /// In the type's binary form.
    Binary = 1,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its type.
    pub kind: Type,
    /// How its values are written.
    pub format: Format,
}

impl Column<'_> {
    /// Appends a `RowDescription` of this column alone.
    pub fn write(&self, out: &mut Vec<u8>) {
        row_description(std::slice::from_ref(self), out);
    }
}

/// Appends a `RowDescription`.
pub fn row_description(columns: &[Column<'_>], out: &mut Vec<u8>) {
    frame::short(b'T', out, |out| {
        let count = i16::try_from(columns.len()).unwrap_or(i16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for column in columns {
            frame::string(column.name, out);
            // Of no table, and no column of one.
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&column.kind.oid.to_be_bytes());
            out.extend_from_slice(&column.kind.length.to_be_bytes());
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            out.extend_from_slice(&(column.format as i16).to_be_bytes());
        }
    });
}

/// Appends a `ParameterDescription`.
pub fn parameter_description(types: &[u32], out: &mut Vec<u8>) {
    frame::short(b't', out, |out| {
        let count = i16::try_from(types.len()).unwrap_or(i16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

/// Appends a `DataRow` of one value.
pub fn data_row(value: &[u8], out: &mut Vec<u8>) {
    data_row_of(&[Some(value)], out);
}

/// Appends a `DataRow`; `None` is null.
pub fn data_row_of<V: AsRef<[u8]>>(values: &[Option<V>], out: &mut Vec<u8>) {
    frame::short(b'D', out, |out| {
        let count = i16::try_from(values.len()).unwrap_or(i16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for value in values {
            let Some(value) = value else {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            };
            let value = value.as_ref();
            let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
    });
}

/// Appends an `EmptyQueryResponse`.
pub fn empty_query_response(out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'I', 0, 0, 0, 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut out = Vec::new();
        let column = Column {
            name: b"a",
            kind: Type::INT4,
            format: Format::Binary,
        };
        column.write(&mut out);
        assert_eq!(
            out,
            b"T\x00\x00\x00\x1a\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x01"
        );
        out.clear();
        data_row(b"xy", &mut out);
        parameter_description(&[25], &mut out);
        empty_query_response(&mut out);
        assert_eq!(
            out,
            b"D\x00\x00\x00\x0c\x00\x01\x00\x00\x00\x02xyt\x00\x00\x00\x0a\x00\x01\x00\x00\x00\x19I\x00\x00\x00\x04"
        );
    }
}
