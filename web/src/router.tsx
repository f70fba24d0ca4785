// Every state of a page is an address. Pages are loaded when they are visited.
import { Link, createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { Frame } from "./frame";
import { Empty, PageHead, Problem } from "./ui/base";

const root = createRootRoute({
  component: Frame,
  notFoundComponent: () => <><PageHead title="There is no such page" /><Empty title="Nothing is here" action={<Link className="btn" to="/">To the overview</Link>}>The address is wrong, or what it named is gone.</Empty></>,
  errorComponent: ({ error, reset }) => <Problem error={error} retry={reset} />,
});

/** Takes the named texts out of the address; everything else in it is dropped. */
function texts<K extends string>(...names: K[]): (search: Record<string, unknown>) => Partial<Record<K, string>> {
  return (search) => {
    const found: Partial<Record<K, string>> = {};
    for (const name of names) {
      const value = search[name];
      if (typeof value === "string" && value !== "") found[name] = value;
    }
    return found;
  };
}

const overview = createRoute({ getParentRoute: () => root, path: "/", component: lazyRouteComponent(() => import("./pages/overview"), "OverviewPage") });
const runs = createRoute({
  getParentRoute: () => root,
  path: "/runs",
  validateSearch: texts("prompt", "model", "dataset", "suite", "status", "tag", "with"),
  component: lazyRouteComponent(() => import("./pages/runs"), "RunsPage"),
});
const run = createRoute({
  getParentRoute: () => root,
  path: "/runs/$run",
  validateSearch: texts("tab", "category", "status", "sample", "trial"),
  component: lazyRouteComponent(() => import("./pages/run"), "RunPage"),
});
const compare = createRoute({
  getParentRoute: () => root,
  path: "/compare",
  validateSearch: texts("a", "b", "show", "sample"),
  component: lazyRouteComponent(() => import("./pages/compare"), "ComparePage"),
});
const prompts = createRoute({
  getParentRoute: () => root,
  path: "/prompts",
  validateSearch: texts("q"),
  component: lazyRouteComponent(() => import("./pages/prompts"), "PromptsPage"),
});
const prompt = createRoute({
  getParentRoute: () => root,
  path: "/prompts/$name",
  validateSearch: texts("version", "tab", "from", "view"),
  component: lazyRouteComponent(() => import("./pages/prompt"), "PromptPage"),
});

const quality = createRoute({
  getParentRoute: () => root,
  path: "/quality",
  validateSearch: texts("tab", "dataset", "suite", "prompt", "model", "days", "category", "calibration"),
  component: lazyRouteComponent(() => import("./pages/quality"), "QualityPage"),
});
const newCalibration = createRoute({ getParentRoute: () => root, path: "/judges/new", validateSearch: texts("run", "metric", "by"), component: lazyRouteComponent(() => import("./pages/judge-new"), "NewCalibrationPage") });
const datasets = createRoute({ getParentRoute: () => root, path: "/datasets", validateSearch: texts("q"), component: lazyRouteComponent(() => import("./pages/datasets"), "DatasetsPage") });
const dataset = createRoute({
  getParentRoute: () => root,
  path: "/datasets/$name",
  validateSearch: texts("version", "tab", "from", "q", "category", "sample"),
  component: lazyRouteComponent(() => import("./pages/dataset"), "DatasetPage"),
});
const experiments = createRoute({ getParentRoute: () => root, path: "/experiments", validateSearch: texts("status"), component: lazyRouteComponent(() => import("./pages/experiments"), "ExperimentsPage") });
const newExperiment = createRoute({ getParentRoute: () => root, path: "/experiments/new", component: lazyRouteComponent(() => import("./pages/experiment-new"), "NewExperimentPage") });
const experiment = createRoute({
  getParentRoute: () => root,
  path: "/experiments/$id",
  validateSearch: texts("tab", "metric"),
  component: lazyRouteComponent(() => import("./pages/experiment"), "ExperimentPage"),
});
const deployments = createRoute({ getParentRoute: () => root, path: "/deployments", validateSearch: texts("tab"), component: lazyRouteComponent(() => import("./pages/deployments"), "DeploymentsPage") });
const deployment = createRoute({
  getParentRoute: () => root,
  path: "/deployments/$name",
  validateSearch: texts("environment", "manifest"),
  component: lazyRouteComponent(() => import("./pages/deployment"), "DeploymentPage"),
});
const traffic = createRoute({
  getParentRoute: () => root,
  path: "/traffic",
  validateSearch: texts("tab", "deployment", "environment", "model", "outcome", "user", "session", "manifest", "soft", "hours", "record", "by", "days"),
  component: lazyRouteComponent(() => import("./pages/traffic"), "TrafficPage"),
});
const canary = createRoute({
  getParentRoute: () => root,
  path: "/canaries/$id",
  validateSearch: texts("tab", "verdict", "pair", "diff"),
  component: lazyRouteComponent(() => import("./pages/canary"), "CanaryPage"),
});
const release = createRoute({ getParentRoute: () => root, path: "/releases/$id", validateSearch: texts("diff"), component: lazyRouteComponent(() => import("./pages/release"), "ReleasePage") });
const incident = createRoute({ getParentRoute: () => root, path: "/incidents/$id", validateSearch: texts("show"), component: lazyRouteComponent(() => import("./pages/incident"), "IncidentPage") });
const review = createRoute({ getParentRoute: () => root, path: "/review", validateSearch: texts("status", "reason", "item"), component: lazyRouteComponent(() => import("./pages/review"), "ReviewPage") });
const alerts = createRoute({
  getParentRoute: () => root,
  path: "/alerts",
  validateSearch: texts("status", "severity", "type", "source", "alert", "tab"),
  component: lazyRouteComponent(() => import("./pages/alerts"), "AlertsPage"),
});
const schedules = createRoute({ getParentRoute: () => root, path: "/schedules", validateSearch: texts("schedule"), component: lazyRouteComponent(() => import("./pages/schedules"), "SchedulesPage") });
const providers = createRoute({ getParentRoute: () => root, path: "/providers", component: lazyRouteComponent(() => import("./pages/providers"), "ProvidersPage") });
const access = createRoute({ getParentRoute: () => root, path: "/access", validateSearch: texts("tab", "actor", "action", "target", "record"), component: lazyRouteComponent(() => import("./pages/access"), "AccessPage") });
const settings = createRoute({ getParentRoute: () => root, path: "/settings", component: lazyRouteComponent(() => import("./pages/settings"), "SettingsPage") });

const tree = root.addChildren([
  overview, quality, newCalibration, runs, run, compare, prompts, prompt, datasets, dataset, experiments, newExperiment, experiment,
  deployments, deployment, canary, release, incident, traffic, review, alerts, schedules, providers, access, settings,
]);

export const router = createRouter({
  routeTree: tree,
  defaultPreload: "intent",
  defaultPreloadDelay: 60,
  defaultPendingMs: 300,
  scrollRestoration: true,
  // Plain query strings: `?version=1.0` is a text, not a number.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const pairs = Object.entries(search).filter((pair): pair is [string, string] => typeof pair[1] === "string" && pair[1] !== "");
    const text = new URLSearchParams(pairs).toString();
    return text ? `?${text}` : "";
  },
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
