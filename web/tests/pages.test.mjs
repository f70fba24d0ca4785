// The dashboard in a browser, page by page, on a server that scripts/seed_dashboard.py has filled. The tests go through it in
// this order, one after the other, as one visitor.
import "./frame.mjs";
import "./evaluate.mjs";
import "./operate.mjs";
import "./looks.mjs";
