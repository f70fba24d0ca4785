// The small parts that every page is made of.
import { Tooltip as Radix } from "radix-ui";
import type { ButtonHTMLAttributes, CSSProperties, ReactNode } from "react";
import { useEffect, useId, useState } from "react";
import type { Estimate } from "../api/client";
import { Refusal, onServer } from "../api/client";
import { ago, moment, score, within } from "../lib/format";
import { forPage, opened, spansOf } from "../lib/told";
import type { IconName } from "./icons";
import { Icon } from "./icons";

export type Tone = "good" | "bad" | "warn" | "info" | "accent" | "plain";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "primary" | "quiet" | "danger" | "danger primary" | undefined;
  small?: boolean;
  icon?: IconName;
  /** Why it cannot be used; the button says so, to the keyboard as well, instead of being silent. */
  refused?: string | false | undefined;
}

export function Button({ kind, small, icon, refused, children, className = "", ...rest }: ButtonProps) {
  const only = icon && children === undefined;
  const button = (
    <button
      type="button"
      className={`btn ${kind ?? ""} ${small ? "small" : ""} ${only ? "icon" : ""} ${className}`}
      {...rest}
      {...(refused ? { "aria-disabled": true, disabled: false, onClick: undefined } : {})}
    >
      {icon && <Icon name={icon} size={small ? 14 : 16} />}
      {children}
    </button>
  );
  return refused ? <Tip text={refused}>{button}</Tip> : button;
}

export function Badge({ tone = "plain", mono, outline, children }: { tone?: Tone; mono?: boolean; outline?: boolean; children: ReactNode }) {
  return <span className={`badge ${tone} ${mono ? "mono" : ""} ${outline ? "outline" : ""}`}>{children}</span>;
}

/** A name that may be long: shortened to its place, and whole in its title. */
export function Long({ children, className = "" }: { children: string; className?: string }) {
  return <span className={`truncate long ${className}`} title={children}>{children}</span>;
}

export function Dot({ tone = "plain", pulse }: { tone?: Tone; pulse?: boolean }) {
  return <i className={`dot ${tone} ${pulse ? "pulse" : ""}`} aria-hidden="true" />;
}

export function Tip({ text, children }: { text: ReactNode; children: ReactNode }) {
  return (
    <Radix.Root delayDuration={250}>
      <Radix.Trigger asChild>{children}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content className="tip" sideOffset={5} collisionPadding={8}>
          {text}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

export const TipProvider = Radix.Provider;

let clock = Date.now();
const watchers = new Set<() => void>();
setInterval(() => {
  clock = Date.now();
  for (const tell of watchers) tell();
}, 15_000);

/** How long ago; the exact time on hover. */
export function Ago({ time }: { time: string | null | undefined }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const tell = () => tick((n) => n + 1);
    watchers.add(tell);
    return () => void watchers.delete(tell);
  }, []);
  // What is part of the program has the beginning of time for its own.
  if (!time || time < "1971") return <span className="faint">–</span>;
  return (
    <time dateTime={time} title={moment(time)} className="nowrap">
      {ago(time, clock)}
    </time>
  );
}

/** A number with its interval and n: no mean or rate stands alone. */
export function Est({ of, show = score, inline, hideN }: { of: Estimate | null | undefined; show?: (v: number) => string; inline?: boolean; hideN?: boolean }) {
  if (!of || Number.isNaN(of.value)) return <span className="faint">–</span>;
  return (
    <span className={`est ${inline ? "inline" : ""}`}>
      <span>{show(of.value)}</span>
      <small>
        {hideN ? (of.n > 1 ? `${show(of.lower)}–${show(of.upper)}` : "no interval") : within(of, show)}
      </small>
    </span>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <Button
      kind="quiet"
      small
      icon={done ? "check" : "copy"}
      aria-label={done ? "Copied" : label}
      onClick={(event) => {
        event.stopPropagation();
        void navigator.clipboard?.writeText(text).then(() => {
          setDone(true);
          setTimeout(() => setDone(false), 1500);
        });
      }}
    />
  );
}

export function Command({ children }: { children: string }) {
  return (
    <div className="command">
      <code tabIndex={0} role="textbox" aria-readonly="true" aria-label="Command">{children}</code>
      <Copy text={children} label="Copy the command" />
    </div>
  );
}

/** What to do when there is nothing: a sentence, a button where the page can do it, and the exact command, which reaches this server. */
export function Empty({ title, children, command, action }: { title: string; children?: ReactNode; command?: string | undefined; action?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action}
      {command && <Command>{onServer(command)}</Command>}
      {command?.startsWith("llmops ") && <p className="faint small">From any machine, with your key in <code>LLMOPS_API_KEY</code>.</p>}
    </div>
  );
}

export function Callout({ tone = "info", icon, children, action }: { tone?: Tone; icon?: IconName; children: ReactNode; action?: ReactNode }) {
  return (
    <div className={`callout ${tone}`} role={tone === "bad" ? "alert" : "note"}>
      <Icon name={icon ?? (tone === "good" ? "check" : tone === "info" || tone === "plain" ? "info" : "warning")} />
      <div className="grow">{children}</div>
      {action}
    </div>
  );
}

/** A text of the server: without what is for the command line, unless it is nothing else; names are code. */
export function Told({ text }: { text: string }) {
  return <>{spansOf(forPage(text) || text).map((span, i) => (span.code ? <code key={i}>{span.text}</code> : span.text))}</>;
}

/** A refusal of the server in its own words. */
export function Problem({ error, retry, action }: { error: unknown; retry?: () => void; action?: ReactNode }) {
  const refusal = error instanceof Refusal ? error : null;
  const hint = forPage(refusal?.hint ?? "");
  return (
    <Callout tone="bad" action={action ?? (retry && <Button small onClick={retry}>Try again</Button>)}>
      <strong><Told text={opened(error instanceof Error ? error.message : String(error))} /></strong>
      {hint && <div><Told text={opened(hint)} /></div>}
      {refusal && refusal.problems.length > 0 && (
        <ul>
          {refusal.problems.map((problem, i) => (
            <li key={i}>
              {problem.field && <code>{problem.field}: </code>}
              {problem.line != null && `line ${problem.line}: `}
              <Told text={problem.message} />
            </li>
          ))}
        </ul>
      )}
    </Callout>
  );
}

export function Skeleton({ width = "100%", height = 12 }: { width?: number | string; height?: number }) {
  return <span className="skeleton" style={{ width, height }} aria-hidden="true" />;
}

/** The place of buttons that depend on what is still being read, so that nothing moves when they come. */
export function Coming({ rows = 1 }: { rows?: number }) {
  return <span className="coming" style={{ "--rows": rows } as CSSProperties} aria-hidden="true" />;
}

export function Card({ title, aside, children, flush, label, id }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; flush?: boolean; label?: string; id?: string }) {
  const heading = useId();
  return (
    <section className="card" id={id} {...(title ? { "aria-labelledby": heading } : label ? { "aria-label": label } : {})}>
      {title && (
        <header className="card-head">
          <h2 id={heading}>{title}</h2>
          {aside && <div className="aside">{aside}</div>}
        </header>
      )}
      {flush ? children : <div className="card-body">{children}</div>}
    </section>
  );
}

export function Field({ label, help, error, children }: { label: string; help?: ReactNode; error?: string | null | undefined; children: (props: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode }) {
  const id = useId();
  const described = help || error ? { "aria-describedby": `${id}-help` } : {};
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, ...described, ...(error ? { "aria-invalid": true as const } : {}) })}
      {(error || help) && <span id={`${id}-help`} className={error ? "error" : "help"}>{error || help}</span>}
    </div>
  );
}

export function PageHead({ title, lead, children, badge }: { title: ReactNode; lead?: ReactNode; children?: ReactNode; badge?: ReactNode }) {
  return (
    <div className="page-head">
      <div className="stack tight grow" style={{ minWidth: "min(280px, 100%)" }}>
        <div className="row wrap">
          <h1 className="wrap-any">{title}</h1>
          {badge}
        </div>
        {lead && <div className="lead">{lead}</div>}
      </div>
      {children && <div className="actions">{children}</div>}
    </div>
  );
}

/** A bar of share `value`, with its number beside it. */
export function Bar({ value, tone }: { value: number; tone?: Tone }) {
  return (
    <div className={`bar ${tone ?? ""}`} role="presentation">
      <i style={{ width: `${Math.max(0, Math.min(1, value)) * 100}%` }} />
    </div>
  );
}
