// What stands in the way of a deployment: promotions that wait for a second key, open incidents, releases under way.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { api, ok } from "../api/client";
import type { Place } from "../api/open";
import { fits, openIncidents, openReleases, promotions } from "../api/open";
import { isOwn, useRefusal, useSession } from "../session";
import { Ago, Button, Callout, Skeleton } from "../ui/base";
import { useSay } from "../ui/layers";
import { ManifestLine } from "../ui/manifest";
import { titleOf } from "./incidents";

/** It stands above what it is about, which waits for it: nothing moves when it comes. */
export function Waiting({ children, ...place }: Place & { children: ReactNode }) {
  const client = useQueryClient();
  const session = useSession();
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const approvals = useQuery(promotions);
  const incidents = useQuery(openIncidents);
  const releases = useQuery(openReleases);
  const decide = useMutation({
    mutationFn: async ({ approval, what }: { approval: string; what: "approve" | "reject" }): Promise<unknown> => ok(api.POST(`/api/v1/approvals/{approval}/${what}`, { params: { path: { approval } } })),
    onSuccess: (_, { what }) => {
      for (const key of ["deployments", "overview", "canaries"]) void client.invalidateQueries({ queryKey: [key] });
      say(what === "approve" ? "Approved: it is live." : "Refused: nothing changes.");
    },
    onError: refused,
  });
  const under = releases.data?.items.filter((one) => fits(place, { deployment: one.deployment, environment: "production" }));
  if (approvals.isPending || incidents.isPending || releases.isPending) return <Skeleton height={420} />;
  return (
    <>
      {incidents.data?.items.filter((one) => fits(place, one)).map((one) => (
        <Callout key={one.id} tone="bad" action={<Link className="btn small" to="/incidents/$id" params={{ id: one.id }}>To the incident</Link>}>
          <strong>{titleOf(one)}.</strong> An incident is open on {one.deployment} in {one.environment}, since <Ago time={one.opened_at} />, by {one.opened_by}. Nothing is promoted there until it is closed.
        </Callout>
      ))}
      {approvals.data?.items.filter((one) => one.status === "pending" && fits(place, one)).map((one) => {
        const no = refusal("operator") || (isOwn(session, one.requested_by, one.requested_key) && "Another key than the one that asked must decide.");
        return (
          <Callout key={one.id} tone="warn" action={<span className="row wrap"><Button small refused={no} disabled={decide.isPending} onClick={() => decide.mutate({ approval: one.id, what: "reject" })}>Refuse</Button><Button small kind="primary" refused={no} disabled={decide.isPending} onClick={() => decide.mutate({ approval: one.id, what: "approve" })}>Approve</Button></span>}>
            <strong>{one.deployment} in {one.environment} waits for a second key.</strong> {one.requested_by} asked <Ago time={one.created_at} />{one.reason && `: ${one.reason}`}
            <ManifestLine hash={one.manifest} />
          </Callout>
        );
      })}
      {under?.map((one) => (
        <Callout key={one.id} tone={one.step === "approval" ? "warn" : "info"} action={<Link className={`btn small ${one.step === "approval" ? "primary" : ""}`} to="/releases/$id" params={{ id: one.id }}>To the release</Link>}>
          <strong>{one.step === "approval" ? `The release of ${one.deployment} waits for an approval.` : `A release of ${one.deployment} is on its way, at the step ${one.step}.`}</strong> {one.label}, begun <Ago time={one.created_at} /> by {one.created_by}.
        </Callout>
      ))}
      {children}
    </>
  );
}
