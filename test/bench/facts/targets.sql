-- One mart: four dimensions, and facts with three foreign keys and a unique grain.
CREATE SCHEMA :mart;
SET search_path = :mart;
CREATE TABLE d_item (item_id int PRIMARY KEY, item_name text NOT NULL);
CREATE TABLE d_customer (customer_id int PRIMARY KEY, last_name text NOT NULL);
CREATE TABLE d_city (city_id int PRIMARY KEY, city_name text NOT NULL);
CREATE TABLE d_calendar (date_id int PRIMARY KEY, date_actual date NOT NULL, day_name text NOT NULL, week_of_year int NOT NULL,
                         month_actual int NOT NULL, quarter_actual int NOT NULL, year_actual int NOT NULL);
CREATE TABLE f_sales (
    date_id int NOT NULL REFERENCES d_calendar, item_id int NOT NULL REFERENCES d_item, customer_id int NOT NULL REFERENCES d_customer,
    city_id int NOT NULL, updated_at timestamp NOT NULL, quantity bigint NOT NULL, payment_amount numeric(14,2) NOT NULL,
    orders int NOT NULL, refunds int NOT NULL, UNIQUE (date_id, item_id, customer_id));
