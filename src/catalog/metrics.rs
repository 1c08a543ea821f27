//! Metrics by handle and by name, and the one rule for types, units and natures (see `model/metric.rs`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MetricDefinition, MetricHandle, MetricName, MetricType, Nature};

use super::METRICS_MAX;
use super::record::MetricRecord;
use super::unit::Conversion;

/// All metrics. A clone copies pointers.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    /// By handle; `None` where the handle is only set aside.
    definitions: Arc<Vec<Option<MetricDefinition>>>,
    names: Arc<HashMap<MetricName, MetricHandle>>,
    /// Metrics whose nature was named, so that a default does not count as a word.
    natured: Arc<Vec<bool>>,
}

impl Metrics {
    /// From records by handle, and the names for which handles without a record are set aside.
    pub(super) fn load(mut defined: BTreeMap<u32, MetricRecord>, aside: &BTreeMap<u32, MetricName>) -> Result<Self> {
        let mut names = HashMap::with_capacity(defined.len());
        let mut definitions = Vec::with_capacity(defined.len());
        let mut natured = Vec::with_capacity(defined.len());
        let count = defined.keys().chain(aside.keys()).max().map_or(0, |last| last.saturating_add(1));
        for place in 0..count {
            let (definition, said) = defined.remove(&place).map(MetricRecord::into_parts).unzip();
            let name = definition.as_ref().map(|metric| &metric.name).or_else(|| aside.get(&place));
            let Some(name) = name else {
                return Err(Error::new(ErrorKind::Corruption, format!("catalogue: metric {place} is missing")));
            };
            if names.insert(name.clone(), MetricHandle(place)).is_some() {
                return Err(Error::new(ErrorKind::Corruption, format!("catalogue: two metrics are named '{name}'")));
            }
            definitions.push(definition);
            natured.push(said.unwrap_or(false));
        }
        Ok(Self { definitions: Arc::new(definitions), names: Arc::new(names), natured: Arc::new(natured) })
    }

    pub(super) fn find(&self, name: &str) -> Option<&MetricDefinition> {
        self.by_handle(*self.names.get(name)?)
    }

    pub(super) fn by_handle(&self, handle: MetricHandle) -> Option<&MetricDefinition> {
        self.definitions.get(handle.0 as usize)?.as_ref()
    }

    /// What is stored of a metric.
    pub(super) fn record(&self, handle: MetricHandle) -> Option<MetricRecord> {
        let natured = self.natured.get(handle.0 as usize).copied().unwrap_or(false);
        self.by_handle(handle).map(|metric| MetricRecord::new(metric, natured))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &MetricDefinition> {
        self.definitions.iter().flatten()
    }

    /// Finds, adds or widens; the last is whether anything changed.
    pub(super) fn ensure(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
        nature: Option<Nature>,
    ) -> Result<(MetricHandle, Option<Conversion>, bool)> {
        let Some(known) = self.find(name.as_str()) else {
            let handle = self.add(name, metric_type, unit, nature)?;
            return Ok((handle, None, true));
        };
        let mismatch = |what: String| Error::new(ErrorKind::TypeMismatch, format!("metric '{name}': {what}"));
        let conversion = match (unit, &known.unit) {
            (Some(unit), Some(own)) => {
                Conversion::between(unit, own).map_err(|error| mismatch(error.message().to_owned()))?
            }
            _ => None,
        };
        let arriving = conversion.map_or(metric_type, |conversion| conversion.output_type(metric_type));
        let widest = known.metric_type.widest(arriving).ok_or_else(|| {
            mismatch(format!("it is {} and can not take {arriving}", known.metric_type))
                .advise("give the text and the number metrics of their own")
        })?;
        let handle = known.handle;
        let named = self.natured.get(handle.0 as usize).copied().unwrap_or(false);
        let nature = match nature {
            Some(nature) if named && nature != known.nature => {
                return Err(mismatch(format!(
                    "it is a {} and can not become a {}",
                    known.nature.as_str(),
                    nature.as_str()
                )));
            }
            other => other,
        };
        let changed =
            widest != known.metric_type || (unit.is_some() && known.unit.is_none()) || (nature.is_some() && !named);
        if changed && let Some(metric) = &mut Arc::make_mut(&mut self.definitions)[handle.0 as usize] {
            metric.metric_type = widest;
            metric.unit = metric.unit.take().or_else(|| unit.map(str::to_owned));
            metric.nature = nature.unwrap_or(metric.nature);
        }
        if nature.is_some() && !named {
            Arc::make_mut(&mut self.natured)[handle.0 as usize] = true;
        }
        Ok((handle, conversion, changed))
    }

    /// A handle for a name that no metric has: it finds none before one is added. The second is whether it is new.
    pub(super) fn set_aside(&mut self, name: &MetricName) -> Result<(MetricHandle, bool)> {
        if let Some(handle) = self.names.get(name) {
            return Ok((*handle, false));
        }
        if self.definitions.len() >= METRICS_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the store has {METRICS_MAX} metrics, the most that it can"),
            )
            .advise("look for metric names that hold a device's id or a time"));
        }
        let handle = MetricHandle(self.definitions.len() as u32);
        Arc::make_mut(&mut self.definitions).push(None);
        Arc::make_mut(&mut self.names).insert(name.clone(), handle);
        Arc::make_mut(&mut self.natured).push(false);
        Ok((handle, true))
    }

    fn add(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
        nature: Option<Nature>,
    ) -> Result<MetricHandle> {
        let (handle, _) = self.set_aside(name)?;
        let definition = MetricDefinition {
            handle,
            name: name.clone(),
            metric_type,
            unit: unit.map(str::to_owned),
            nature: nature.unwrap_or_default(),
        };
        Arc::make_mut(&mut self.definitions)[handle.0 as usize] = Some(definition);
        Arc::make_mut(&mut self.natured)[handle.0 as usize] = nature.is_some();
        Ok(handle)
    }
}
