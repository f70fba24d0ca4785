-- One table holds all observations here; PostgreSQL keeps them by month.
SELECT 1;
