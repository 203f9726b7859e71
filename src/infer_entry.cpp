// SQL-callable: inferring a mapping, and the DDL of one.
#include "postgres.hpp"

#include "ddl.hpp"
#include "infer.hpp"
#include "mapping_text.hpp"
#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

// The arguments of sluice.infer, in their order.
namespace argument {
enum { Source, Document, SampleSize, Root, TargetSchema };
}

static const char *name_argument(FunctionCallInfo fcinfo, int number, const char *argument) {
    if (PG_ARGISNULL(number))
        argument_error(argument, "must not be null", NULL);
    const char *name = NameStr(*PG_GETARG_NAME(number));
    if (*name == '\0')
        argument_error(argument, "must not be empty", NULL);
    return pstrdup(name);
}

// sample_argument is how many documents are looked at; null: all, which is 0.
static int sample_argument(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(argument::SampleSize))
        return 0;
    const int sample = PG_GETARG_INT32(argument::SampleSize);
    if (sample < 1)
        argument_error("sample", "must be at least 1", "null looks at all documents.");
    return sample;
}

static void check_relation(Oid source) {
    const char kind = get_rel_relkind(source);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("source: %s is no table, view or foreign table", relation_name(source))));
}

static void infer(FunctionCallInfo fcinfo, StringInfo to) {
    if (PG_ARGISNULL(argument::Source))
        argument_error("source", "must not be null", NULL);
    const char *document = name_argument(fcinfo, argument::Document, "document");
    const char *root = name_argument(fcinfo, argument::Root, "root");
    const char *schema =
        PG_ARGISNULL(argument::TargetSchema) ? NULL : name_argument(fcinfo, argument::TargetSchema, "target_schema");
    check_relation(PG_GETARG_OID(argument::Source));
    Relation source = relation_open(PG_GETARG_OID(argument::Source), AccessShareLock);
    append_mapping(to, infer_source(source, document, sample_argument(fcinfo), root, schema));
    relation_close(source, AccessShareLock);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_infer);
Datum sluice_infer(PG_FUNCTION_ARGS) {
    StringInfoData mapping;
    initStringInfo(&mapping); // before SPI_connect: it outlives SPI's memory
    SPI_connect();
    infer(fcinfo, &mapping);
    SPI_finish();
    PG_RETURN_TEXT_P(cstring_to_text_with_len(mapping.data, mapping.len));
}

PG_FUNCTION_INFO_V1(sluice_ddl);
Datum sluice_ddl(PG_FUNCTION_ARGS) {
    text *mapping = PG_GETARG_TEXT_PP(0);
    StringInfoData statements;
    initStringInfo(&statements);
    append_mapping_ddl(&statements, read_mapping(VARDATA_ANY(mapping), VARSIZE_ANY_EXHDR(mapping)));
    PG_RETURN_TEXT_P(cstring_to_text_with_len(statements.data, statements.len));
}

} // extern "C"
