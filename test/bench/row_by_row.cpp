// row_by_row: what most people have. A client reads the documents, parses them, and inserts row by row with prepared statements,
// a commit every 100 documents. It prints the seconds it took.
//
//   row_by_row SCHEMA DOCUMENTS
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include <libpq-fe.h>
#include <nlohmann/json.hpp>

using nlohmann::json;

namespace {

PGconn *connection;

PGresult *Checked(PGresult *result) {
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        std::fprintf(stderr, "row_by_row: %s", PQerrorMessage(connection));
        std::exit(1);
    }
    return result;
}

void Execute(const std::string &statement) { PQclear(Checked(PQexec(connection, statement.c_str()))); }

void Prepare(const char *name, const std::string &statement) {
    PQclear(Checked(PQprepare(connection, name, statement.c_str(), 0, nullptr)));
}

// TextOf gives a value as text, or nullptr for null and absent; `text` keeps it.
const char *TextOf(const json *value, std::string &text) {
    if (!value || value->is_null())
        return nullptr;
    text = value->is_string() ? value->get<std::string>() : value->dump();
    return text.c_str();
}

const json *Member(const json *object, const char *key) {
    if (!object || !object->is_object())
        return nullptr;
    const auto found = object->find(key);
    return found == object->end() ? nullptr : &*found;
}

// Insert runs a prepared statement and gives the first column it returns, if any.
std::string Insert(const char *name, std::initializer_list<const char *> values) {
    PGresult *result =
        Checked(PQexecPrepared(connection, name, static_cast<int>(values.size()), values.begin(), nullptr, nullptr, 0));
    std::string returned = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
    PQclear(result);
    return returned;
}

void InsertDocument(const json &document) {
    std::string a, b, c, d;
    const std::string client = Insert("client", {TextOf(Member(&document, "application_id"), a)});
    for (const json &phone : document["phones"])
        for (const auto &[type, number] : phone.items())
            Insert("phone", {client.c_str(), type.c_str(), TextOf(&number, a)});
    for (const json &item : document["addresses"]) {
        const json *address = Member(&item, "address");
        const char *city = TextOf(Member(address, "city"), c);
        Insert("address", {client.c_str(), TextOf(Member(&item, "type"), a), TextOf(Member(&item, "date"), b),
                           city ? city : "", TextOf(Member(address, "flat"), d)});
    }
    const json &products = document["products"];
    const char *total = TextOf(Member(&products, "total_sum"), a);
    for (const auto &[name, count] : products["product_cnt"].items())
        Insert("product", {client.c_str(), name.c_str(), TextOf(&count, b),
                           TextOf(Member(&products["product_cost"], name.c_str()), c), total});
}

void PrepareAll(const std::string &schema) {
    Prepare("client", "INSERT INTO " + schema + ".clients (application_id) VALUES ($1) RETURNING client_id");
    Prepare("phone", "INSERT INTO " + schema + ".phones (client_id, type, number) VALUES ($1, $2, $3)");
    Prepare("address", "INSERT INTO " + schema +
                           ".addresses (client_id, type, date, city, flat) "
                           "VALUES ($1, $2, to_date($3, 'DD-MM-YYYY'), $4, $5)");
    Prepare("product", "INSERT INTO " + schema +
                           ".products (client_id, product_name, count, cost, total_sum) VALUES ($1, $2, $3, $4, $5)");
}

void LoadAll(const std::string &documents) {
    PGresult *stage =
        Checked(PQexec(connection, ("SELECT doc FROM bench.stage ORDER BY id LIMIT " + documents).c_str()));
    for (int row = 0; row < PQntuples(stage); row++) {
        if (row % 100 == 0)
            Execute(row == 0 ? "BEGIN" : "COMMIT; BEGIN");
        InsertDocument(json::parse(PQgetvalue(stage, row, 0)));
    }
    Execute("COMMIT");
    PQclear(stage);
}

} // namespace

int main(int count, char **arguments) {
    if (count != 3) {
        std::fputs("usage: row_by_row SCHEMA DOCUMENTS\n", stderr);
        return 2;
    }
    connection = PQconnectdb("");
    if (PQstatus(connection) != CONNECTION_OK) {
        std::fprintf(stderr, "row_by_row: %s", PQerrorMessage(connection));
        return 1;
    }
    PrepareAll(arguments[1]);
    const auto started = std::chrono::steady_clock::now();
    LoadAll(arguments[2]);
    std::printf("%.6f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    PQfinish(connection);
    return 0;
}
