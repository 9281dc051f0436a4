//! The one pass: recursive descent, its recursion bounded by the depth limit.

use serde_json::{Map, Number, Value};

use super::{JsonFault, JsonRule, Limits};

/// Which numbers a document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Integers,
    /// Integers, and decimals without an exponent.
    Decimals,
}

/// Integers every reader holds exactly (RFC 8259 §6, I-JSON): ±2^53.
const LARGEST_INTEGER: i64 = 1 << 53;

/// Room in the outer object: an envelope's fifteen members, so that it does not grow four times.
const OUTER_MEMBERS: usize = 16;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    depth: usize,
    nodes: usize,
    limits: Limits,
}

pub(super) type Parsed<T> = Result<T, JsonFault>;

impl<'a> Parser<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: Limits) -> Parsed<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonFault { rule: JsonRule::Utf8, at: error.valid_up_to() })?;
        Ok(Self { text, bytes, at: 0, depth: 0, nodes: 0, limits })
    }

    /// Exactly one value, nothing but white space around it.
    pub(super) fn document(mut self) -> Parsed<Value> {
        self.white_space();
        let value = self.value()?;
        self.white_space();
        if self.at < self.bytes.len() { Err(self.fault(JsonRule::Syntax)) } else { Ok(value) }
    }

    fn value(&mut self) -> Parsed<Value> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > self.limits.nodes {
            return Err(self.fault(JsonRule::Nodes));
        }
        match self.peek()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string().map(Value::String),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            _ => Err(self.fault(JsonRule::Syntax)),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Parsed<Value>) -> Parsed<Value> {
        if self.depth >= self.limits.depth {
            return Err(self.fault(JsonRule::Depth));
        }
        self.depth = self.depth.saturating_add(1);
        self.step();
        let value = inner(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    fn object(&mut self) -> Parsed<Value> {
        self.white_space();
        if self.peek()? == b'}' {
            self.step();
            return Ok(Value::Object(Map::new()));
        }
        let mut members = if self.depth == 1 { Map::with_capacity(OUTER_MEMBERS) } else { Map::new() };
        loop {
            self.white_space();
            let name_at = self.at;
            if self.peek()? != b'"' {
                return Err(self.fault(JsonRule::Syntax));
            }
            let name = self.string()?;
            self.white_space();
            self.take(b':')?;
            self.white_space();
            let value = self.value()?;
            // The map is hashed with a random seed, so wide objects stay linear.
            if members.insert(name, value).is_some() {
                return Err(JsonFault { rule: JsonRule::DuplicateName, at: name_at });
            }
            self.white_space();
            match self.peek()? {
                b',' => self.step(),
                b'}' => {
                    self.step();
                    return Ok(Value::Object(members));
                }
                _ => return Err(self.fault(JsonRule::Syntax)),
            }
        }
    }

    fn array(&mut self) -> Parsed<Value> {
        let mut items = Vec::new();
        self.white_space();
        if self.peek()? == b']' {
            self.step();
            return Ok(Value::Array(items));
        }
        loop {
            self.white_space();
            items.push(self.value()?);
            self.white_space();
            match self.peek()? {
                b',' => self.step(),
                b']' => {
                    self.step();
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.fault(JsonRule::Syntax)),
            }
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Parsed<Value> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at = self.at.saturating_add(word.len());
            Ok(value)
        } else {
            Err(self.fault(JsonRule::Syntax))
        }
    }

    /// RFC 8259 §6, then the rules of ours.
    fn number(&mut self) -> Parsed<Number> {
        let start = self.at;
        let fault = |rule| JsonFault { rule, at: start };
        let negative = self.peek()? == b'-';
        if negative {
            self.step();
        }
        let leading_zero = self.peek()? == b'0';
        let (digits, magnitude) = self.digits()?;
        if leading_zero && digits > 1 {
            return Err(fault(JsonRule::Syntax));
        }
        let mut decimal = false;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.step();
            self.digits()?;
            decimal = true;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.step();
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.step();
            }
            self.digits()?;
            return Err(fault(JsonRule::NotInteger));
        }
        if decimal {
            return self.decimal(start);
        }
        if negative && magnitude == 0 {
            return Err(fault(JsonRule::NegativeZero));
        }
        if magnitude > LARGEST_INTEGER {
            return Err(fault(JsonRule::NumberRange));
        }
        Ok(Number::from(if negative { -magnitude } else { magnitude }))
    }

    fn decimal(&self, start: usize) -> Parsed<Number> {
        let fault = |rule| JsonFault { rule, at: start };
        if self.limits.numbers == Numbers::Integers {
            return Err(fault(JsonRule::NotInteger));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let number: f64 = text.parse().map_err(|_| fault(JsonRule::Syntax))?;
        if number == 0.0 && number.is_sign_negative() {
            return Err(fault(JsonRule::NegativeZero));
        }
        Number::from_f64(number).ok_or_else(|| fault(JsonRule::NumberRange))
    }

    /// At least one digit: how many, and their value (saturating: beyond 2^53 it is refused).
    fn digits(&mut self) -> Parsed<(usize, i64)> {
        let start = self.at;
        let mut magnitude: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            magnitude = magnitude.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
            self.step();
        }
        match self.at.saturating_sub(start) {
            0 => {
                self.peek()?;
                Err(self.fault(JsonRule::Syntax))
            }
            digits => Ok((digits, magnitude)),
        }
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.step();
        }
    }

    fn take(&mut self, byte: u8) -> Parsed<()> {
        if self.peek()? != byte {
            return Err(self.fault(JsonRule::Syntax));
        }
        self.step();
        Ok(())
    }

    pub(super) fn peek(&self) -> Parsed<u8> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.fault(JsonRule::End))
    }

    pub(super) fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    pub(super) fn fault(&self, rule: JsonRule) -> JsonFault {
        JsonFault { rule, at: self.at }
    }
}
