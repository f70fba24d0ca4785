-- PostgreSQL keeps rows in the order in which they come already.
SELECT 1;
