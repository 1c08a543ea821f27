//! Metrics by handle and by name, and the one rule for types, units and natures (see `model/metric.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MetricDefinition, MetricHandle, MetricName, MetricType, Nature};

use super::METRICS_MAX;
use super::unit::Conversion;

/// All metrics. A clone copies pointers.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    definitions: Arc<Vec<MetricDefinition>>,
    names: Arc<HashMap<MetricName, MetricHandle>>,
    /// Metrics whose nature was named, so that a default does not count as a word.
    natured: Arc<Vec<bool>>,
}

impl Metrics {
    /// From definitions in order of their handles.
    pub(super) fn load(definitions: Vec<MetricDefinition>) -> Result<Self> {
        let mut names = HashMap::with_capacity(definitions.len());
        for (place, metric) in definitions.iter().enumerate() {
            if metric.handle.0 as usize != place {
                return Err(Error::new(ErrorKind::Corruption, format!("catalogue: metric {place} is missing")));
            }
            if names.insert(metric.name.clone(), metric.handle).is_some() {
                return Err(Error::new(
                    ErrorKind::Corruption,
                    format!("catalogue: two metrics are named '{}'", metric.name),
                ));
            }
        }
        // What was named before a restart is not known for gauges: a counter was certainly named.
        let natured = definitions.iter().map(|metric| metric.nature == Nature::Counter).collect();
        Ok(Self { definitions: Arc::new(definitions), names: Arc::new(names), natured: Arc::new(natured) })
    }

    pub(super) fn find(&self, name: &str) -> Option<&MetricDefinition> {
        self.names.get(name).and_then(|handle| self.definitions.get(handle.0 as usize))
    }

    pub(super) fn all(&self) -> &[MetricDefinition] {
        &self.definitions
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
        let changed = widest != known.metric_type
            || (unit.is_some() && known.unit.is_none())
            || nature.is_some_and(|nature| nature != known.nature);
        if changed {
            let metric = &mut Arc::make_mut(&mut self.definitions)[handle.0 as usize];
            metric.metric_type = widest;
            metric.unit = metric.unit.take().or_else(|| unit.map(str::to_owned));
            metric.nature = nature.unwrap_or(metric.nature);
        }
        if nature.is_some() && !named {
            Arc::make_mut(&mut self.natured)[handle.0 as usize] = true;
        }
        Ok((handle, conversion, changed))
    }

    fn add(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
        nature: Option<Nature>,
    ) -> Result<MetricHandle> {
        if self.definitions.len() >= METRICS_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the store has {METRICS_MAX} metrics, the most that it can"),
            )
            .advise("look for metric names that hold a device's id or a time"));
        }
        let handle = MetricHandle(self.definitions.len() as u32);
        let definition = MetricDefinition {
            handle,
            name: name.clone(),
            metric_type,
            unit: unit.map(str::to_owned),
            nature: nature.unwrap_or_default(),
        };
        Arc::make_mut(&mut self.definitions).push(definition);
        Arc::make_mut(&mut self.names).insert(name.clone(), handle);
        Arc::make_mut(&mut self.natured).push(nature.is_some());
        Ok(handle)
    }
}
