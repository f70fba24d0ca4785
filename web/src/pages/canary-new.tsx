import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, ok } from "../api/client";
import { wrongNumber } from "../lib/numbers";
import { Button, Callout, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";
import { CandidateFields, useCandidate } from "./candidate";

/** Puts a candidate beside what answers. What is not asked here is as policies are by default. */
export function NewCanary({ of, onClose }: { of: { name: string; environment: string; manifest: string }; onClose: () => void }) {
  const candidate = useCandidate(of.manifest);
  const [percent, setPercent] = useState("10");
  const [judge, setJudge] = useState("");
  const [pairs, setPairs] = useState("500");
  const [budget, setBudget] = useState("50");
  const [approval, setApproval] = useState(true);
  const [dry, setDry] = useState(false);
  const models = useQuery({ queryKey: ["providers"], queryFn: () => ok(api.GET("/api/v1/providers")) });
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useSay();
  const wrong = { percent: wrongNumber(percent, { needed: true, above: 0, most: 100 }), pairs: wrongNumber(pairs, { needed: true, whole: true, least: 1 }), budget: wrongNumber(budget, { needed: true, above: 0 }) };
  const start = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/canaries", { body: { deployment: of.name, environment: of.environment, manifest: candidate.manifest, dry_run: dry, draft: true, policy: { share: Number(percent) / 100, judge: { model: judge }, min_samples: Number(pairs), promote: { approval }, budget: { total: Number(budget) } } } })),
    onSuccess: ({ canary }) => {
      void client.invalidateQueries({ queryKey: ["canaries"] });
      say("The canary is a draft: look at its policy, then begin.");
      void navigate({ to: "/canaries/$id", params: { id: canary.id }, search: { tab: "policy" } });
    },
  });
  const ready = candidate.changed && candidate.manifest !== null && judge.includes("/") && !Object.values(wrong).some(Boolean);
  const number = (name: keyof typeof wrong, label: string, help: string, value: string, set: (value: string) => void) => <Field label={label} help={help} error={wrong[name]}>{(props) => <input {...props} className="input num" inputMode="decimal" value={value} onChange={(event) => set(event.target.value)} />}</Field>;
  return (
    <Dialog title={`New canary on ${of.name}`} open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={!ready || start.isPending} onClick={() => start.mutate()}>{start.isPending ? "Making…" : "Make a draft"}</Button></>}>
      {start.isError && <Problem error={start.error} />}
      <CandidateFields of={candidate} />
      <Field label="Judge" help="The model that compares the two answers, in both orders">{(props) => <><input {...props} className="input mono" list="judge-models" value={judge} onChange={(event) => setJudge(event.target.value)} placeholder="provider/model" /><datalist id="judge-models">{models.data?.items.map((one) => <option key={one.model} value={one.model} />)}</datalist></>}</Field>
      <div className="grid three">
        {number("percent", "Share of requests, %", "Users do not see these answers", percent, setPercent)}
        {number("pairs", "Judged pairs at least", "Before it is promoted", pairs, setPairs)}
        {number("budget", "Budget, USD", "Reaching it ends the canary", budget, setBudget)}
      </div>
      <label className="check"><input type="checkbox" checked={approval} onChange={(event) => setApproval(event.target.checked)} />Another key must approve the promotion</label>
      <label className="check"><input type="checkbox" checked={dry} onChange={(event) => setDry(event.target.checked)} />Dry run: decisions are written down and nothing is done</label>
      <Callout tone="plain">Everything else is as by default: at least a day, guardrails on errors, latency, cost and score. Nothing is asked until the draft begins.</Callout>
    </Dialog>
  );
}
