// The command palette: every page, prompt, dataset, deployment, experiment and recent run by name.
import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { api, ok } from "./api/client";
import { PLACES, useTheme } from "./frame";
import { ago, words } from "./lib/format";
import type { IconName } from "./ui/icons";
import { Icon } from "./ui/icons";
import { Dialog, useModal } from "./ui/layers";

interface Entry {
  group: string;
  label: string;
  hint: string;
  icon: IconName;
  run: () => void;
}

export function Palette({ open, onClose, onHelp }: { open: boolean; onClose: () => void; onHelp: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  useModal(ref, open, (dialog) => dialog.querySelector("input")?.focus());
  const entries = useEntries(open, onHelp);
  const found = useMemo(() => {
    const parts = text.toLowerCase().split(/\s+/).filter(Boolean);
    return entries.filter((entry) => parts.every((part) => `${entry.label} ${entry.group} ${entry.hint}`.toLowerCase().includes(part))).slice(0, 40);
  }, [entries, text]);
  useEffect(() => setAt(0), [text]);
  useEffect(() => {
    if (open) setText("");
  }, [open]);
  useEffect(() => document.getElementById(`palette-${at}`)?.scrollIntoView({ block: "nearest" }), [at]);
  if (!open) return null;
  const choose = (entry: Entry | undefined) => {
    if (!entry) return;
    onClose();
    entry.run();
  };
  const pressed = (event: React.KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) {
      event.preventDefault();
      setAt((at + step + found.length) % Math.max(found.length, 1));
    }
    if (event.key === "Enter") choose(found[at]);
  };
  return (
    <dialog ref={ref} className="palette" aria-label="Search and commands" onClose={onClose} onMouseDown={(event) => event.target === ref.current && onClose()}>
      <input
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found[at] ? `palette-${at}` : undefined}
        aria-label="Search"
        placeholder="Go to a page, prompt, run, dataset…"
        value={text}
        autoFocus
        onChange={(event) => setText(event.target.value)}
        onKeyDown={pressed}
      />
      <ul id="palette-list" role="listbox" aria-label="Results">
        {found.map((entry, i) => (
          <li key={`${entry.group}/${entry.label}/${entry.hint}/${i}`} id={`palette-${i}`} role="option" aria-selected={i === at} onMouseMove={() => setAt(i)} onClick={() => choose(entry)}>
            <span className="faint"><Icon name={entry.icon} /></span>
            <span className="truncate">{entry.label}</span>
            <span className="hint">{entry.hint || entry.group}</span>
          </li>
        ))}
        {found.length === 0 && <li role="option" aria-selected="false" aria-disabled="true" className="muted">Nothing has that name</li>}
      </ul>
    </dialog>
  );
}

function useEntries(open: boolean, onHelp: () => void): Entry[] {
  const router = useRouter();
  const { theme, choose } = useTheme();
  const things = useQuery({
    queryKey: ["palette"],
    enabled: open,
    staleTime: 15_000,
    queryFn: async () => {
      const [prompts, datasets, deployments, canaries, experiments, runs, releases, incidents] = await Promise.all([
        ok(api.GET("/api/v1/prompts", { params: { query: { limit: 200 } } })),
        ok(api.GET("/api/v1/datasets", { params: { query: { limit: 200 } } })),
        ok(api.GET("/api/v1/deployments", { params: { query: { limit: 100 } } })),
        ok(api.GET("/api/v1/canaries", { params: { query: { limit: 100 } } })),
        ok(api.GET("/api/v1/experiments", { params: { query: { limit: 100 } } })),
        ok(api.GET("/api/v1/runs", { params: { query: { limit: 20 } } })),
        ok(api.GET("/api/v1/releases", { params: { query: { limit: 20 } } })),
        ok(api.GET("/api/v1/incidents", { params: { query: { limit: 20 } } })),
      ]);
      return { prompts: prompts.items, datasets: datasets.items, deployments: deployments.items, canaries: canaries.items, experiments: experiments.items, runs: runs.items, releases: releases.items, incidents: incidents.items };
    },
  });
  return useMemo(() => {
    const go = (to: string, search?: Record<string, string>) => () => void router.navigate(search ? { to, search } : { to });
    const pages = PLACES.flatMap(({ places }) => places.map((p): Entry => ({ group: "Page", label: p.label, hint: `g ${p.key}`, icon: p.icon, run: go(p.to) })));
    const data = things.data;
    return [
      ...pages,
      ...(data?.prompts ?? []).map((p): Entry => ({ group: "Prompt", label: p.name, hint: `prompt · ${p.version}`, icon: "prompts", run: go(`/prompts/${encodeURIComponent(p.name)}`) })),
      ...(data?.datasets ?? []).map((d): Entry => ({ group: "Dataset", label: d.name, hint: `dataset · ${d.sample_count} samples`, icon: "datasets", run: go(`/datasets/${encodeURIComponent(d.name)}`) })),
      ...(data?.deployments ?? []).map((d): Entry => ({ group: "Deployment", label: d.name, hint: `deployment · ${d.environment}`, icon: "deployments", run: go(`/deployments/${encodeURIComponent(d.name)}`, { environment: d.environment }) })),
      ...(data?.canaries ?? []).map((c): Entry => ({ group: "Canary", label: `Canary of ${c.deployment}`, hint: `${words(c.state.status)} · ${ago(c.updated_at)}`, icon: "deployments", run: go(`/canaries/${c.id}`) })),
      ...(data?.releases ?? []).map((r): Entry => ({ group: "Release", label: `Release of ${r.deployment}`, hint: `${r.status === "open" ? r.step : r.status === "released" ? "released" : "cancelled"} · ${ago(r.created_at)}`, icon: "deployments", run: go(`/releases/${r.id}`) })),
      ...(data?.incidents ?? []).map((i): Entry => ({ group: "Incident", label: i.title ?? `Incident on ${i.deployment}`, hint: `incident · ${i.closed_at ? "closed" : "open"}`, icon: "warning", run: go(`/incidents/${i.id}`) })),
      ...(data?.experiments ?? []).map((e): Entry => ({ group: "Experiment", label: e.name, hint: `experiment · ${e.status}`, icon: "experiments", run: go(`/experiments/${e.id}`) })),
      ...(data?.runs ?? []).map((r): Entry => ({ group: "Run", label: r.name, hint: `${ago(r.created_at)}`, icon: "runs", run: go(`/runs/${r.id}`) })),
      { group: "Command", label: theme === "dark" ? "Use the light theme" : "Use the dark theme", hint: "", icon: theme === "dark" ? "sun" : "moon", run: () => choose(theme === "dark" ? "light" : "dark") },
      { group: "Page", label: "Releases", hint: "", icon: "deployments", run: go("/deployments", { tab: "releases" }) },
      { group: "Page", label: "Incidents", hint: "", icon: "warning", run: go("/deployments", { tab: "incidents" }) },
      { group: "Page", label: "Feedback", hint: "", icon: "review", run: go("/traffic", { tab: "feedback" }) },
      { group: "Page", label: "Judges", hint: "", icon: "quality", run: go("/quality", { tab: "judges" }) },
      { group: "Command", label: "Compare a judge with people", hint: "", icon: "quality", run: go("/judges/new") },
      { group: "Command", label: "New experiment", hint: "", icon: "plus", run: go("/experiments/new") },
      { group: "Command", label: "Keyboard shortcuts", hint: "?", icon: "info", run: onHelp },
      { group: "Command", label: "API reference", hint: "/docs", icon: "external", run: () => window.open("/docs", "_blank", "noopener") },
    ];
  }, [router, theme, choose, things.data, onHelp]);
}

export function Shortcuts({ open, onClose }: { open: boolean; onClose: () => void }) {
  const keys: [string[], string][] = [
    [["⌘", "K"], "Search and commands (Ctrl K elsewhere)"],
    [["/"], "Filter the list"],
    [["j"], "Next row"],
    [["k"], "Row before"],
    [["↵"], "Open it"],
    [["?"], "This list"],
    ...PLACES.flatMap(({ places }) => places.map((p): [string[], string] => [["g", p.key], p.label])),
  ];
  return (
    <Dialog title="Keyboard" open={open} onClose={onClose}>
      <dl className="facts">
        {keys.map(([combination, what]) => (
          <div key={what}>
            <dt className="row tight">{combination.map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
