-- Signed amounts: fit for generated columns, for smallint, int, bigint, real, float8, numeric, money and interval.

CREATE FUNCTION sluice.signed(amount smallint, status text, negative text[] DEFAULT '{refunded}') RETURNS smallint
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(smallint, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount smallint, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS smallint
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(smallint, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount int, status text, negative text[] DEFAULT '{refunded}') RETURNS int
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(int, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount int, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS int
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(int, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount bigint, status text, negative text[] DEFAULT '{refunded}') RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(bigint, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount bigint, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS bigint
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(bigint, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount real, status text, negative text[] DEFAULT '{refunded}') RETURNS real
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(real, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount real, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS real
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(real, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount float8, status text, negative text[] DEFAULT '{refunded}') RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(float8, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount float8, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(float8, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount numeric, status text, negative text[] DEFAULT '{refunded}') RETURNS numeric
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(numeric, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount numeric, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS numeric
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(numeric, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount money, status text, negative text[] DEFAULT '{refunded}') RETURNS money
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(money, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount money, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS money
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(money, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';

CREATE FUNCTION sluice.signed(amount interval, status text, negative text[] DEFAULT '{refunded}') RETURNS interval
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(interval, text, text[]) IS 'the amount, with the opposite sign where a status is one of the negative ones';

CREATE FUNCTION sluice.signed(amount interval, status anyenum, negative text[] DEFAULT '{refunded}') RETURNS interval
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'sluice_signed';
COMMENT ON FUNCTION sluice.signed(interval, anyenum, text[]) IS 'the amount, with the opposite sign where a status of an enum is one of the negative ones';
