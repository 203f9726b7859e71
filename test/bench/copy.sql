-- COPY of the rows already shredded, from binary files that COPY TO wrote.
BEGIN;
COPY :schema.clients FROM :'clients_file' (FORMAT binary);
COPY :schema.phones FROM :'phones_file' (FORMAT binary);
COPY :schema.addresses FROM :'addresses_file' (FORMAT binary);
COPY :schema.products FROM :'products_file' (FORMAT binary);
COMMIT;
