import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { money, whole } from "../lib/format";
import { wrongNumber } from "../lib/numbers";
import { Button, Field, Problem } from "../ui/base";
import { Dialog, useSay } from "../ui/layers";

type Limits = Schemas["Limits"];

const LIMITS: [keyof Limits, string, "money" | "whole"][] = [
  ["cost_per_month", "USD in a month", "money"],
  ["cost_per_day", "USD in a day", "money"],
  ["cost_per_minute", "USD in a minute", "money"],
  ["requests_per_day", "Requests in a day", "whole"],
  ["requests_per_minute", "Requests in a minute", "whole"],
  ["tokens_per_day", "Tokens in a day", "whole"],
  ["tokens_per_minute", "Tokens in a minute", "whole"],
];

const SHORT: Record<keyof Limits, string> = { cost_per_month: "a month", cost_per_day: "a day", cost_per_minute: "a minute", requests_per_day: "requests a day", requests_per_minute: "requests a minute", tokens_per_day: "tokens a day", tokens_per_minute: "tokens a minute" };

/** Limits in a few words; empty where there are none. */
export function limitsTold(limits: Limits | undefined): string[] {
  return LIMITS.flatMap(([name, , kind]) => {
    const value = limits?.[name];
    return value == null ? [] : [`${kind === "money" ? money(value) : whole(value)} ${SHORT[name]}`];
  });
}

export function KeyLimits({ of, onClose }: { of: Schemas["ApiKey"]; onClose: () => void }) {
  const [values, setValues] = useState<Partial<Record<keyof Limits, string>>>(() => Object.fromEntries(LIMITS.flatMap(([name]) => (of.limits?.[name] == null ? [] : [[name, String(of.limits[name])]]))));
  const client = useQueryClient();
  const { say } = useSay();
  const wrong = (name: keyof Limits) => wrongNumber(values[name] ?? "", { least: 0 });
  const save = useMutation({
    mutationFn: () => ok(api.PUT("/api/v1/keys/{key}/limits", { params: { path: { key: of.id } }, body: Object.fromEntries(LIMITS.map(([name]) => [name, values[name]?.trim() ? Number(values[name]) : null])) })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["keys"] });
      say(`The limits of ${of.name} hold on every replica.`);
      onClose();
    },
  });
  return (
    <Dialog title={`What may be spent with ${of.name}`} open onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" disabled={save.isPending || LIMITS.some(([name]) => wrong(name))} onClick={() => save.mutate()}>{save.isPending ? "Saving…" : "Save"}</Button></>}>
      {save.isError && <Problem error={save.error} />}
      <p>Calls through the gateway beyond a limit are refused with 429 until it is free again. Empty: no limit. Models without a price cost nothing.</p>
      <div className="grid two">
        {LIMITS.map(([name, label]) => <Field key={name} label={label} error={wrong(name)}>{(props) => <input {...props} className="input num" inputMode="decimal" value={values[name] ?? ""} onChange={(event) => setValues({ ...values, [name]: event.target.value })} placeholder="no limit" />}</Field>)}
      </div>
    </Dialog>
  );
}
