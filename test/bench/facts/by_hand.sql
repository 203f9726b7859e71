-- What one would write by hand, over the orders from :from on.
INSERT INTO d_item AS d SELECT DISTINCT ON (item_id) item_id, item_name FROM bench.orders WHERE id >= :from ORDER BY item_id, date_time DESC
ON CONFLICT (item_id) DO UPDATE SET item_name = excluded.item_name WHERE d.item_name IS DISTINCT FROM excluded.item_name;
INSERT INTO d_customer AS d SELECT DISTINCT ON (customer_id) customer_id, last_name FROM bench.orders WHERE id >= :from ORDER BY customer_id, date_time DESC
ON CONFLICT (customer_id) DO UPDATE SET last_name = excluded.last_name WHERE d.last_name IS DISTINCT FROM excluded.last_name;
INSERT INTO d_city AS d SELECT DISTINCT ON (city_id) city_id, city_name FROM bench.orders WHERE id >= :from ORDER BY city_id, date_time DESC
ON CONFLICT (city_id) DO UPDATE SET city_name = excluded.city_name WHERE d.city_name IS DISTINCT FROM excluded.city_name;
INSERT INTO d_calendar SELECT DISTINCT extract(epoch from date_time)::int, date_time::date, to_char(date_time, 'FMDay'), extract(week from date_time),
       extract(month from date_time), extract(quarter from date_time), extract(year from date_time)
FROM bench.orders WHERE id >= :from ON CONFLICT DO NOTHING;
INSERT INTO f_sales AS f
SELECT extract(epoch from date_time)::int, item_id, customer_id, max(city_id), max(date_time),
       sum(CASE WHEN status = 'refunded' THEN -quantity ELSE quantity END),
       sum(CASE WHEN status = 'refunded' THEN -payment_amount ELSE payment_amount END),
       count(*) FILTER (WHERE status <> 'refunded'), count(*) FILTER (WHERE status = 'refunded')
FROM bench.orders WHERE id >= :from GROUP BY 1, 2, 3
ON CONFLICT (date_id, item_id, customer_id) DO UPDATE SET city_id = excluded.city_id, updated_at = excluded.updated_at,
    quantity = f.quantity + excluded.quantity, payment_amount = f.payment_amount + excluded.payment_amount,
    orders = f.orders + excluded.orders, refunds = f.refunds + excluded.refunds;
