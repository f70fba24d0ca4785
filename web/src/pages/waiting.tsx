// What stands in the way of a deployment: promotions that wait for a second key, and open incidents.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, ok } from "../api/client";
import { useRefusal, useSession } from "../session";
import { Ago, Button, Callout } from "../ui/base";
import { useSay } from "../ui/layers";
import { ManifestLine } from "../ui/manifest";

interface Place {
  deployment?: string | undefined;
  environment?: string | undefined;
}

const fits = ({ deployment, environment }: Place, one: Required<Place>) => (!deployment || one.deployment === deployment) && (!environment || one.environment === environment);

export function Waiting(place: Place) {
  const client = useQueryClient();
  const session = useSession();
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const approvals = useQuery({ queryKey: ["deployments", "approvals"], queryFn: () => ok(api.GET("/api/v1/approvals", { params: { query: { limit: 100 } } })) });
  const incidents = useQuery({ queryKey: ["deployments", "incidents"], queryFn: () => ok(api.GET("/api/v1/incidents", { params: { query: { limit: 100 } } })) });
  const decide = useMutation({
    mutationFn: async ({ approval, what }: { approval: string; what: "approve" | "reject" }): Promise<unknown> => ok(api.POST(`/api/v1/approvals/{approval}/${what}`, { params: { path: { approval } } })),
    onSuccess: (_, { what }) => {
      for (const key of ["deployments", "overview", "canaries"]) void client.invalidateQueries({ queryKey: [key] });
      say(what === "approve" ? "Approved: it is live." : "Refused: nothing changes.");
    },
    onError: refused,
  });
  return (
    <>
      {incidents.data?.items.filter((one) => !one.closed_at && fits(place, one)).map((one) => (
        <Callout key={one.id} tone="bad">
          <strong>{one.title ?? "An incident"} on <Link className="hover-link" to="/deployments/$name" params={{ name: one.deployment }} search={{ environment: one.environment }}>{one.deployment}</Link> in {one.environment}.</strong> Opened <Ago time={one.opened_at} /> by {one.opened_by}; nothing is promoted before <code>llmops incident close</code>.
        </Callout>
      ))}
      {approvals.data?.items.filter((one) => one.status === "pending" && fits(place, one)).map((one) => {
        const no = refusal("operator") || (one.requested_by === session?.name && "Another key than the one that asked must decide.");
        return (
          <Callout key={one.id} tone="warn" action={<span className="row wrap"><Button small refused={no} disabled={decide.isPending} onClick={() => decide.mutate({ approval: one.id, what: "reject" })}>Refuse</Button><Button small kind="primary" refused={no} disabled={decide.isPending} onClick={() => decide.mutate({ approval: one.id, what: "approve" })}>Approve</Button></span>}>
            <strong>{one.deployment} in {one.environment} waits for a second key.</strong> {one.requested_by} asked <Ago time={one.created_at} />{one.reason && `: ${one.reason}`}
            <ManifestLine hash={one.manifest} />
          </Callout>
        );
      })}
    </>
  );
}
