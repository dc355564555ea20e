//! What a module has of each thing that costs memory or time to compile, counted before anything is compiled: a
//! megabyte of empty functions takes a gigabyte, and a few thousand loops in one function take a minute. What is
//! above its limit is refused by name.

use broker_model::limits::{
    PLUGIN_MODULE_CODE_BYTES_MAX, PLUGIN_MODULE_DEFINITIONS_MAX, PLUGIN_MODULE_ELEMENTS_MAX,
    PLUGIN_MODULE_FUNCTION_BYTES_MAX, PLUGIN_MODULE_FUNCTION_LOCALS_MAX,
    PLUGIN_MODULE_FUNCTION_LOOPS_MAX, PLUGIN_MODULE_FUNCTIONS_MAX, PLUGIN_MODULE_LOOPS_MAX,
};
use wasmparser::{
    BinaryReaderError, ElementItems, ElementSectionReader, FunctionBody, Operator, Parser, Payload,
    TableSectionReader,
};

use super::malformed;
use crate::load_error::LoadError;

/// The counts of a module so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Functions of its own.
    pub(crate) functions: u64,
    /// Bytes of their code.
    pub(crate) code_bytes: u64,
    /// Bytes of the longest.
    pub(crate) function_bytes: u64,
    /// Locals of the one that has most.
    pub(crate) function_locals: u64,
    /// Loops in all of them.
    pub(crate) loops: u64,
    /// Loops in the one that has most.
    pub(crate) function_loops: u64,
    /// Entries of tables, as they begin and as they are filled.
    pub(crate) elements: u64,
    /// Types, imports, exports, globals, tables and pieces of data.
    pub(crate) definitions: u64,
}

impl Census {
    /// Counts, and refuses a module that has too much of something; the rest of it is not looked at.
    pub(crate) fn check(module: &[u8]) -> Result<Self, LoadError> {
        let mut census = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            let counted = payload.and_then(|payload| census.count(payload));
            counted.map_err(malformed)?;
            census.check_limits()?;
        }
        Ok(census)
    }

    fn count(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::TypeSection(section) => self.definitions += u64::from(section.count()),
            Payload::ImportSection(section) => self.definitions += u64::from(section.count()),
            Payload::ExportSection(section) => self.definitions += u64::from(section.count()),
            Payload::GlobalSection(section) => self.definitions += u64::from(section.count()),
            Payload::DataSection(section) => self.definitions += u64::from(section.count()),
            Payload::TableSection(section) => self.count_tables(section)?,
            Payload::ElementSection(section) => self.count_elements(section)?,
            Payload::CodeSectionEntry(function) => self.count_function(&function)?,
            _ => {}
        }
        Ok(())
    }

    fn count_tables(&mut self, tables: TableSectionReader<'_>) -> Result<(), BinaryReaderError> {
        self.definitions += u64::from(tables.count());
        for table in tables {
            self.elements = self.elements.saturating_add(table?.ty.initial);
        }
        Ok(())
    }

    fn count_elements(
        &mut self,
        segments: ElementSectionReader<'_>,
    ) -> Result<(), BinaryReaderError> {
        self.definitions += u64::from(segments.count());
        for segment in segments {
            self.elements += u64::from(match segment?.items {
                ElementItems::Functions(functions) => functions.count(),
                ElementItems::Expressions(_, expressions) => expressions.count(),
            });
        }
        Ok(())
    }

    fn count_function(&mut self, function: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        let range = function.range();
        let bytes = range.end.saturating_sub(range.start) as u64;
        self.code_bytes += bytes;
        self.function_bytes = self.function_bytes.max(bytes);
        if bytes > PLUGIN_MODULE_FUNCTION_BYTES_MAX {
            // It is refused, however many there are.
            return Ok(());
        }
        let mut locals = 0;
        for group in function.get_locals_reader()? {
            let (count, _) = group?;
            locals += u64::from(count);
        }
        self.function_locals = self.function_locals.max(locals);
        let mut loops = 0;
        for operator in function.get_operators_reader()? {
            loops += u64::from(matches!(operator?, Operator::Loop { .. }));
        }
        self.loops += loops;
        self.function_loops = self.function_loops.max(loops);
        Ok(())
    }

    /// What there is of each thing, and how much there may be.
    fn counts(&self) -> [(&'static str, u64, u64); 8] {
        [
            ("functions", self.functions, PLUGIN_MODULE_FUNCTIONS_MAX),
            (
                "bytes of code",
                self.code_bytes,
                PLUGIN_MODULE_CODE_BYTES_MAX,
            ),
            (
                "bytes of code in one function",
                self.function_bytes,
                PLUGIN_MODULE_FUNCTION_BYTES_MAX,
            ),
            (
                "locals in one function",
                self.function_locals,
                PLUGIN_MODULE_FUNCTION_LOCALS_MAX,
            ),
            ("loops", self.loops, PLUGIN_MODULE_LOOPS_MAX),
            (
                "loops in one function",
                self.function_loops,
                PLUGIN_MODULE_FUNCTION_LOOPS_MAX,
            ),
            (
                "elements of tables",
                self.elements,
                PLUGIN_MODULE_ELEMENTS_MAX,
            ),
            (
                "types, imports, exports, globals, tables and pieces of data",
                self.definitions,
                PLUGIN_MODULE_DEFINITIONS_MAX,
            ),
        ]
    }

    fn check_limits(&self) -> Result<(), LoadError> {
        let above = |(_, count, max): &(&str, u64, u64)| count > max;
        match self.counts().into_iter().find(above) {
            Some((what, count, max)) => Err(LoadError::TooMany { what, count, max }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "census_tests.rs"]
mod tests;
