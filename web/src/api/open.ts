// What is under way or waits for a person. The shell counts it, and pages show it: they ask for the same, once.
import { api, ok } from "./client";

const query = { params: { query: { open: true, limit: 100 } } };

export const openIncidents = { queryKey: ["incidents", "open"], queryFn: () => ok(api.GET("/api/v1/incidents", query)) };
export const openReleases = { queryKey: ["releases", "open"], queryFn: () => ok(api.GET("/api/v1/releases", query)) };
/** Promotions that wait for a second key, or waited. */
export const promotions = { queryKey: ["deployments", "approvals"], queryFn: () => ok(api.GET("/api/v1/approvals", { params: { query: { limit: 100 } } })) };

/** A deployment in an environment; what is absent fits all. */
export interface Place {
  deployment?: string | undefined;
  environment?: string | undefined;
}

export const fits = ({ deployment, environment }: Place, one: Required<Place>): boolean => (!deployment || one.deployment === deployment) && (!environment || one.environment === environment);
