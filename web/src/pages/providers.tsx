import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { latency, money, percent, score, whole } from "../lib/format";
import { wrongNumber } from "../lib/numbers";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Dot, Empty, Field, PageHead, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { RunLink } from "../ui/parts";
import type { Column } from "../ui/table";
import { Table } from "../ui/table";

type Model = Schemas["ModelStatus"];

export function ProvidersPage() {
  const providers = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  const client = useQueryClient();
  const refusal = useRefusal();
  const { say, refused } = useSay();
  const check = useMutation({
    mutationFn: (models: string[]) => ok(api.POST("/api/v1/providers/check", { body: { models } })),
    onSuccess: (answer) => {
      void client.invalidateQueries({ queryKey: ["providers"] });
      const ill = answer.items.filter((one) => !one.healthy);
      if (ill.length) say(`${ill.map((one) => one.model).join(", ")} did not answer`, "bad", ill[0]?.health.last_error ?? undefined);
      else say(`${answer.items.map((one) => one.model).join(", ")} answered.`);
    },
    onError: refused,
  });
  const columns: Column<Model>[] = [
    { head: "Model", cell: (one) => <span className="row tight"><Dot tone={one.healthy ? (one.health.calls > 0 ? "good" : "plain") : "bad"} /><strong className="mono strong">{one.model}</strong></span> },
    { head: "State", cell: (one) => (one.health.calls === 0 ? <span className="faint">not called yet</span> : one.healthy ? <Badge tone="good">Healthy</Badge> : <Badge tone="bad">{one.health.failures_in_a_row} failures in a row</Badge>) },
    { head: "Score", cell: (one) => (one.score ? <span className="est"><span>{score(one.score.score)}</span><small>{one.score.interval && one.score.n !== 1 ? `${score(one.score.interval[0])}–${score(one.score.interval[1])}` : one.score.source === "user" ? "set by hand" : "no interval"}{one.score.n != null && ` · n ${one.score.n}`}{one.score.run && <> · <RunLink run={one.score.run}>run</RunLink></>}</small></span> : <span className="faint wide-only">–</span>) },
    { head: "Errors", right: true, wide: true, cell: (one) => (one.health.calls > 0 ? <span className="est"><span>{percent(one.health.error_rate)}</span><small>n {whole(one.health.calls)}</small></span> : "–") },
    { head: "Latency", right: true, wide: true, cell: (one) => latency(one.health.latency_ms) },
    { head: "Price, in / out", right: true, wide: true, cell: (one) => (one.price ? `${money(one.price.input)} / ${money(one.price.output)}` : <span className="faint">none</span>) },
    { head: "Last call", right: true, wide: true, cell: (one) => <Ago time={one.health.last_call_at} /> },
    { head: <span className="sr">Check</span>, right: true, cell: (one) => <span className="row tight" style={{ justifyContent: "flex-end" }}><Button small kind="quiet" refused={refusal("editor")} aria-label={`Set score of ${one.model}`} onClick={() => setScoring(one)}>Set score</Button><Button small refused={refusal("editor")} disabled={check.isPending} onClick={() => check.mutate([one.model])}>Check</Button></span> },
  ];
  const [scoring, setScoring] = useState<Model | null>(null);
  const models = providers.data?.items.map((one) => one.model) ?? [];
  return (
    <>
      <PageHead title="Providers" lead="Models, how they are, how good their answers were, what they cost. Prices are USD per million tokens.">
        <Button refused={refusal("editor") || (models.length === 0 && "There is no model to check.")} disabled={check.isPending} onClick={() => check.mutate(models)}>{check.isPending ? "Asking…" : "Check all"}</Button>
      </PageHead>
      <Card label="Models" flush>
        <Table label="Models" columns={columns} rows={providers.data?.items} id={(one) => one.model} error={providers.error} retry={() => void providers.refetch()} empty={<Empty title="No model is known yet" command="llmops provider check openai/gpt-4o-mini">Models appear once they were called, scored or priced. Providers stand in llmops.yaml.</Empty>} />
      </Card>
      {scoring && <SetScore of={scoring} onClose={() => setScoring(null)} />}
    </>
  );
}

/** A score by hand stands in place of what runs measure, until it is forgotten. */
function SetScore({ of, onClose }: { of: Model; onClose: () => void }) {
  const [value, setValue] = useState(of.score?.source === "user" ? String(of.score.score) : "");
  const client = useQueryClient();
  const { say } = useSay();
  const set = useMutation({
    mutationFn: (score: number | null) => ok(api.PUT("/api/v1/providers/score", { body: { model: of.model, score } })),
    onSuccess: (_, score) => {
      void client.invalidateQueries({ queryKey: ["providers"] });
      say(score === null ? `What runs measure counts for ${of.model} again.` : `${of.model} counts as ${score}.`);
      onClose();
    },
  });
  const wrong = wrongNumber(value, { needed: true, least: 0, most: 1 });
  return (
    <Dialog title={`Score of ${of.model}`} open onClose={onClose} footer={<>{of.score?.source === "user" && <Button disabled={set.isPending} onClick={() => set.mutate(null)}>Forget it</Button>}<Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={set.isPending || wrong !== null} onClick={() => set.mutate(Number(value))}>Set</Button></>}>
      {set.isError && <Problem error={set.error} />}
      <p>Stands in place of what runs measure, where the best of several models is chosen.</p>
      <Field label="Score" help="0 to 1" error={value.trim() ? wrong : null}>{(props) => <input {...props} className="input num" inputMode="decimal" value={value} onChange={(event) => setValue(event.target.value)} />}</Field>
    </Dialog>
  );
}
