//! What a payload says, before a mapping gives it devices and metrics: in buffers that are used again.
//!
//! Guarantees: no more than [`RECORDS_MAX`] records with [`NODES_MAX`] fields together, whose names and texts have [`TEXTS_BYTES_MAX`] bytes: what stands
//! around many records is repeated in each; the fields of a record keep their order.

use std::ops::Range;

use super::document::Scalar;
use super::{Decoded, NODES_MAX, PAYLOAD_BYTES_MAX, RECORDS_MAX, Refusal};

/// The most bytes of the names and texts of all records.
const TEXTS_BYTES_MAX: usize = 16 * PAYLOAD_BYTES_MAX;

/// The time that a payload gives one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SentTime {
    /// None: the time of receipt stands for it.
    #[default]
    Absent,
    /// An instant by the device's clock, in nanoseconds since the epoch.
    Instant(i64),
    /// Nanoseconds before (below 0) or after the time of receipt: of devices that know no date.
    FromReceipt(i64),
    /// Nanoseconds since the device started.
    SinceBoot(i64),
}

#[derive(Debug, Clone, Copy)]
enum Held {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(u32, u32),
    Bytes(u32, u32),
}

#[derive(Debug, Clone)]
struct Field {
    name: Range<u32>,
    held: Held,
    unit: Option<Range<u32>>,
}

#[derive(Debug, Clone, Default)]
struct Stored {
    device: Option<Range<u32>>,
    gateway: Option<Range<u32>>,
    time: SentTime,
    boot: Option<u64>,
    sequence: Option<u64>,
    fields: Range<u32>,
}

/// The records of a payload.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    text: String,
    bytes: Vec<u8>,
    fields: Vec<Field>,
    records: Vec<Stored>,
}

fn range(of: &Range<u32>) -> Range<usize> {
    of.start as usize..of.end as usize
}

impl Observations {
    /// None, to be filled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All of them, in the order of the payload.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Observation<'_>> {
        self.records.iter().map(move |record| Observation { all: self, record })
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
        self.fields.clear();
        self.records.clear();
    }

    /// Begins a record; what is said until the next one is of it.
    pub(super) fn begin(&mut self) -> Decoded<()> {
        if self.records.len() >= RECORDS_MAX {
            return Err(Refusal::too_large(format!("more than {RECORDS_MAX} records")));
        }
        let next = self.fields.len() as u32;
        self.records.push(Stored { fields: next..next, ..Stored::default() });
        Ok(())
    }

    fn check_room(&self, bytes: usize) -> Decoded<()> {
        if self.text.len() + self.bytes.len() + bytes > TEXTS_BYTES_MAX {
            return Err(Refusal::too_large(format!(
                "its records have more than {TEXTS_BYTES_MAX} bytes of names and texts"
            )));
        }
        Ok(())
    }

    fn keep(&mut self, text: &str) -> Decoded<Range<u32>> {
        self.check_room(text.len())?;
        let from = self.text.len() as u32;
        self.text.push_str(text);
        Ok(from..self.text.len() as u32)
    }

    /// Says the device of the record that was begun last.
    pub(super) fn set_device(&mut self, device: &str) -> Decoded<()> {
        let device = self.keep(device)?;
        self.records.last_mut().into_iter().for_each(|record| record.device = Some(device.clone()));
        Ok(())
    }

    /// Says the gateway that received it: it is of the link between device and gateway.
    pub(super) fn set_gateway(&mut self, gateway: &str) -> Decoded<()> {
        let gateway = self.keep(gateway)?;
        self.records.last_mut().into_iter().for_each(|record| record.gateway = Some(gateway.clone()));
        Ok(())
    }

    /// Says how often the device had started, and its counter of records since.
    pub(super) fn set_sequence(&mut self, boot: Option<u64>, sequence: Option<u64>) {
        self.records.last_mut().into_iter().for_each(|record| (record.boot, record.sequence) = (boot, sequence));
    }

    /// Says its time.
    pub(super) fn set_time(&mut self, time: SentTime) {
        self.records.last_mut().into_iter().for_each(|record| record.time = time);
    }

    /// Says the unit of the field that was added last.
    pub(super) fn set_unit(&mut self, unit: Option<&str>) -> Decoded<()> {
        let unit = unit.map(|unit| self.keep(unit)).transpose()?;
        self.fields.last_mut().into_iter().for_each(|field| field.unit = unit.clone());
        Ok(())
    }

    /// Adds a field to the record that was begun last.
    pub(super) fn add(&mut self, name: &str, value: Scalar<'_>) -> Decoded<()> {
        if self.fields.len() >= NODES_MAX {
            return Err(Refusal::too_large(format!("more than {NODES_MAX} fields")));
        }
        let name = self.keep(name)?;
        let held = match value {
            Scalar::Null => Held::Null,
            Scalar::Boolean(value) => Held::Boolean(value),
            Scalar::Integer(value) => Held::Integer(value),
            Scalar::Float(value) => Held::Float(value),
            Scalar::Text(text) => {
                let kept = self.keep(text)?;
                Held::Text(kept.start, kept.end)
            }
            Scalar::Bytes(bytes) => {
                self.check_room(bytes.len())?;
                let from = self.bytes.len() as u32;
                self.bytes.extend_from_slice(bytes);
                Held::Bytes(from, self.bytes.len() as u32)
            }
        };
        self.fields.push(Field { name, held, unit: None });
        if let Some(record) = self.records.last_mut() {
            record.fields.end = self.fields.len() as u32;
        }
        Ok(())
    }
}

/// One record of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'o> {
    all: &'o Observations,
    record: &'o Stored,
}

impl<'o> Observation<'o> {
    /// The device, where the format says which member it is.
    #[must_use]
    pub fn device(self) -> Option<&'o str> {
        self.record.device.as_ref().map(|device| &self.all.text[range(device)])
    }

    /// The gateway, where it is an observation of the link to one.
    #[must_use]
    pub fn gateway(self) -> Option<&'o str> {
        self.record.gateway.as_ref().map(|gateway| &self.all.text[range(gateway)])
    }

    /// The time, where the format says which member it is.
    #[must_use]
    pub fn time(self) -> SentTime {
        self.record.time
    }

    /// How often the device had started, and its counter of records since, where the format has them.
    #[must_use]
    pub fn sequence(self) -> (Option<u64>, Option<u64>) {
        (self.record.boot, self.record.sequence)
    }

    /// The fields by name, in order.
    pub fn fields(self) -> impl ExactSizeIterator<Item = (&'o str, Scalar<'o>)> {
        let all = self.all;
        all.fields[range(&self.record.fields)].iter().map(move |field| {
            let text = |from: u32, to: u32| &all.text[from as usize..to as usize];
            let value = match field.held {
                Held::Null => Scalar::Null,
                Held::Boolean(value) => Scalar::Boolean(value),
                Held::Integer(value) => Scalar::Integer(value),
                Held::Float(value) => Scalar::Float(value),
                Held::Text(from, to) => Scalar::Text(text(from, to)),
                Held::Bytes(from, to) => Scalar::Bytes(&all.bytes[from as usize..to as usize]),
            };
            (text(field.name.start, field.name.end), value)
        })
    }

    /// The unit of each field, where the payload says it.
    pub fn units(self) -> impl ExactSizeIterator<Item = Option<&'o str>> {
        let all = self.all;
        let fields = all.fields[range(&self.record.fields)].iter();
        fields.map(move |field| field.unit.as_ref().map(|unit| &all.text[range(unit)]))
    }

    /// The field with a name.
    #[must_use]
    pub fn field(self, name: &str) -> Option<Scalar<'o>> {
        self.fields().find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}
