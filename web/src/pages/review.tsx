import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { Refusal, api, curl, ok } from "../api/client";
import { hash, plural, sentence } from "../lib/format";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Callout, Card, Empty, Field, PageHead, Problem, Skeleton } from "../ui/base";
import type { Tone } from "../ui/base";
import { Legend, WordDiff } from "../ui/diff";
import { useSay } from "../ui/layers";
import { Hash, MessageText } from "../ui/parts";
import { typing, useReadOn } from "../ui/table";

const route = getRouteApi("/review");

type Item = Schemas["ReviewItem"];
type Action = Schemas["ReviewAction"];
const REASONS: Record<Schemas["ReviewReason"], [Tone, string]> = { low_rating: ["bad", "Low rating"], correction: ["accent", "Corrected by a user"], soft_failure: ["warn", "Soft failure"], shadow_loss: ["bad", "Lost in shadow"], uncertain_judge: ["info", "Judge unsure"] };

const STATES = ["open", "accepted", "corrected", "labelled", "dismissed"] as const satisfies Schemas["ReviewStatus"][];

/** Reasons by which an answer is bad until somebody says that it is not. */
const BAD = new Set<Item["reason"]>(["low_rating", "soft_failure", "shadow_loss"]);

function Reason({ of }: { of: Item["reason"] }) {
  const [tone, text] = REASONS[of];
  return <Badge tone={tone}>{text}</Badge>;
}

export function ReviewPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const status = STATES.find((one) => one === search.status) ?? "open";
  const reason = search.reason && search.reason in REASONS ? (search.reason as Schemas["ReviewReason"]) : undefined;
  const set = (part: Record<string, string | undefined>) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  const list = useInfiniteQuery({
    queryKey: ["review", status, reason],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/reviews", { params: { query: { limit: 200, status, reason, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const items = list.data?.pages.flatMap((page) => page.items);
  const at = search.item ? (items?.findIndex((item) => item.id === search.item) ?? -1) : 0;
  // A link may lead to an item that was decided meanwhile, or stands further down: it is read by itself, never taken for another.
  const linked = useQuery({ queryKey: ["review", "one", search.item], enabled: items !== undefined && at < 0, queryFn: () => ok(api.GET("/api/v1/reviews/{id}", { params: { path: { id: search.item ?? "" } } })) });
  const shown = at < 0 ? linked.data : items?.[at];
  useReadOn(list, items !== undefined && at >= items.length - 2);
  const move = (step: number) => {
    const next = items?.[at + step];
    if (next) set({ item: next.id });
  };
  return (
    <>
      <PageHead title="Review queue" lead="Answers that were rated low, corrected, failed or judged with doubt. What you decide becomes a sample of a dataset.">
        <span className="faint num">{items && items.length > 0 && at >= 0 && `${at + 1} of ${items.length}${list.hasNextPage ? " and more" : ""}`}</span>
        <Button disabled={at <= 0} onClick={() => move(-1)}>Previous</Button>
        <Button disabled={!items || at >= items.length - 1} onClick={() => move(1)}>Next</Button>
      </PageHead>
      <div className="filters">
        <span className="segmented" role="group" aria-label="State">{STATES.map((one) => <button key={one} type="button" aria-pressed={status === one} onClick={() => set({ status: one === "open" ? undefined : one, item: undefined })}>{sentence(one)}</button>)}</span>
        <select className="select" aria-label="Reason" value={reason ?? ""} onChange={(event) => set({ reason: event.target.value || undefined, item: undefined })}><option value="">Any reason</option>{Object.entries(REASONS).map(([key, [, label]]) => <option key={key} value={key}>{label}</option>)}</select>
      </div>
      {list.isError && !items ? <Problem error={list.error} retry={() => void list.refetch()} /> : !items || (at < 0 && linked.isPending) ? <Skeleton height={360} /> : at < 0 && linked.isError ? (
        <Problem error={linked.error} retry={() => set({ item: undefined })} />
      ) : !shown ? (
        <Card label="Review queue"><Empty title={status === "open" ? "The queue is empty" : "Nothing here"} command={status === "open" ? curl("/api/v1/feedback", { request_id: "…", thumb: "down" }) : undefined}>Thumbs down, corrections, soft failures and answers that judges are unsure of come here.</Empty></Card>
      ) : (
        <div className="with-aside">
          <Card title={`${plural(items.length, "item")}${list.hasNextPage ? " and more" : ""}`} flush>
            <nav className="versions scroll" aria-label="Items">
              {at < 0 && <Link to="/review" search={search} replace aria-current="true"><span><Reason of={shown.reason} /></span><span className="truncate">{shown.input || shown.detail}</span><span className="faint tiny">linked, not in this list</span></Link>}
              {items.map((item) => <Link key={item.id} to="/review" search={{ ...search, item: item.id }} replace aria-current={item === shown ? "true" : undefined}><span><Reason of={item.reason} /></span><span className="truncate">{item.input || item.detail}</span><span className="faint tiny">{item.deployment && `${item.deployment} · `}<Ago time={item.created_at} /></span></Link>)}
            </nav>
            {list.hasNextPage && <div className="list-foot"><Button small disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>{list.isFetchingNextPage ? "Loading…" : "Load more"}</Button></div>}
          </Card>
          <div className="stack spaced">
            {at < 0 && shown.status !== status && <Callout tone="info" action={<Button small onClick={() => set({ item: undefined })}>To the queue</Button>}><strong>This item is {shown.status}{shown.decision?.by && ` by ${shown.decision.by}`}.</strong> The link leads to it all the same.</Callout>}
            <One key={shown.id} item={shown} move={move} after={() => set({ item: items[at + 1]?.id ?? items[at - 1]?.id })} />
          </div>
        </div>
      )}
    </>
  );
}

interface Decision {
  action: Action;
  replace: boolean;
}

/** The sample that asks the same already, where that is why a decision was refused. */
const askedBy = (error: unknown): string | undefined => (error instanceof Refusal && error.status === 409 ? /asks the same already: sample `(.+)`/.exec(error.message)?.[1] : undefined);

/** The expected answer that the dataset has, beside the one that would take its place. */
function Known({ of, dataset, answer, onReplace }: { of: string; dataset: string; answer: string; onReplace: () => void }) {
  const found = useQuery({ queryKey: ["sample", dataset, "latest", of], queryFn: () => ok(api.GET("/api/v1/datasets/{name}/versions/{version}/samples/{sample}", { params: { path: { name: dataset, version: "latest", sample: of } } })) });
  const was = found.data?.expected_output?.[0];
  return (
    <div className="stack" role="alert">
      <Callout tone="warn" action={<Button small kind="primary" onClick={onReplace}>Replace {of}</Button>}><strong>{dataset} asks this already, as <Link className="link inline mono" to="/datasets/$name" params={{ name: dataset }} search={{ sample: of }}>{of}</Link>.</strong> Replace what it expects, or dismiss this item.</Callout>
      {found.data && <div className="message"><header>Expected until now, against the right answer<span className="grow" /><Legend answer="only in the old one" right="only in the new one" /></header><div>{was == null ? <span className="faint">nothing</span> : <WordDiff before={was} after={answer} />}</div></div>}
    </div>
  );
}

function One({ item, move, after }: { item: Item; move: (step: number) => void; after: () => void }) {
  // What a user or a check found bad is never taken for the right answer by itself: a person says what is.
  const bad = item.suggestion == null && BAD.has(item.reason);
  const right = item.suggestion ?? item.output ?? "";
  const [answer, setAnswer] = useState(bad ? "" : right);
  const [input, setInput] = useState(item.input ?? "");
  const [dataset, setDataset] = useState("golden");
  const [category, setCategory] = useState(item.category ?? "");
  const [label, setLabel] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const datasets = useQuery({ queryKey: ["datasets", "names"], queryFn: () => ok(api.GET("/api/v1/datasets", { params: { query: { limit: 200 } } })) });
  const client = useQueryClient();
  const refusal = useRefusal();
  const no = refusal("editor");
  const { say } = useSay();
  const decide = useMutation({
    mutationFn: ({ action, replace }: Decision) =>
      ok(api.POST("/api/v1/reviews/{id}/decision", {
        params: { path: { id: item.id } },
        body: {
          action,
          ...(action === "correct" ? { answer } : {}),
          ...(action === "label" ? { label } : {}),
          ...((action === "accept" || action === "correct") && !item.input && input ? { input } : {}),
          ...(action === "accept" || action === "correct" ? { dataset, replace, ...(category ? { category } : {}) } : {}),
        },
      })),
    onSuccess: (decided, { action }) => {
      after();
      for (const key of ["review", "datasets", "dataset"]) void client.invalidateQueries({ queryKey: [key] });
      say(decided.dataset ? `It is a sample of ${dataset} now, in version ${hash(decided.dataset.version.version)}.` : action === "label" ? "Labelled." : "Laid aside.");
    },
  });
  const known = askedBy(decide.error);
  const open = item.status === "open";
  // Two presses may come before the first is drawn: one decision is sent, and another only after it failed.
  const sent = useRef(false);
  const send = (action: Action, replace = false) => {
    if (sent.current) return;
    if ((action === "accept" || action === "correct") && answer.trim() === "") return field.current?.focus();
    sent.current = true;
    decide.mutate({ action, replace }, { onError: () => void (sent.current = false) });
  };
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (typing(event)) {
        if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && open && !no) send(answer === right ? "accept" : "correct");
        if (event.key === "Escape") (event.target as HTMLElement).blur();
        return;
      }
      if (event.key === "j") move(1);
      else if (event.key === "k") move(-1);
      else if (!open || no) return;
      else if (event.key === "a") {
        event.preventDefault();
        send(answer === right ? "accept" : "correct");
      }
      else if (event.key === "d") send("dismiss");
      else if (event.key === "e") {
        event.preventDefault();
        field.current?.focus();
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  });
  return (
    <Card label="Item">
      <div className="stack loose">
        <div className="row wrap"><Reason of={item.reason} /><span className="muted wrap-any">{item.detail}</span><span className="grow" />{item.request_id && <Link className="link" to="/traffic" search={{ record: item.request_id }}>Record</Link>}{item.manifest && <Hash of={item.manifest} />}</div>
        {decide.isError && (known ? <Known of={known} dataset={dataset} answer={answer} onReplace={() => decide.variables && send(decide.variables.action, true)} /> : <Problem error={decide.error} />)}
        {item.messages?.map((message, i) => <MessageText key={i} of={message} />)}
        {item.input ? <div className="message"><header>Question</header><div>{item.input}</div></div> : <Field label="Question" help="No body was kept: only a person can say what was asked">{(props) => <textarea {...props} className="textarea auto" rows={2} value={input} onChange={(event) => setInput(event.target.value)} />}</Field>}
        {item.output != null && <div className="message"><header>Answer</header><div>{item.output || <span className="faint">empty</span>}</div></div>}
        {item.suggestion && <div className="message"><header>Suggested, against the answer<span className="grow" /><Legend answer="only in the answer" right="only in the suggestion" /></header><div><WordDiff before={item.output ?? ""} after={item.suggestion} /></div></div>}
        {open ? (
          <>
            <Field label="The right answer" help={bad && answer === "" ? <>Empty, since the answer was found bad. <button type="button" className="link plain" onClick={() => setAnswer(right)}>The answer was right</button></> : "Ctrl Enter saves it as a sample"}>{(props) => <textarea {...props} ref={field} className="textarea" rows={5} value={answer} onChange={(event) => setAnswer(event.target.value)} />}</Field>
            <div className="grid three">
              <Field label="Dataset">{(props) => <><input {...props} className="input" list="dataset-names" value={dataset} onChange={(event) => setDataset(event.target.value)} /><datalist id="dataset-names">{datasets.data?.items.map((one) => <option key={one.name} value={one.name} />)}</datalist></>}</Field>
              <Field label="Category">{(props) => <input {...props} className="input" value={category} onChange={(event) => setCategory(event.target.value)} />}</Field>
              <Field label="Label">{(props) => <input {...props} className="input" value={label} onChange={(event) => setLabel(event.target.value)} placeholder="off-topic" />}</Field>
            </div>
            <div className="row wrap">
              <Button kind="primary" refused={no} disabled={decide.isPending || answer.trim() === ""} onClick={() => send(answer === right ? "accept" : "correct")}>{answer === right ? "Accept as a sample" : "Save the correction"}</Button>
              <Button refused={no} disabled={decide.isPending || label.trim() === ""} onClick={() => send("label")}>Label</Button>
              <Button kind="quiet" refused={no} disabled={decide.isPending} onClick={() => send("dismiss")}>Dismiss</Button>
              <span className="grow" />
              <span className="faint wide-only"><kbd>a</kbd> accept <kbd>e</kbd> edit <kbd>d</kbd> dismiss <kbd>j</kbd> <kbd>k</kbd> move</span>
            </div>
          </>
        ) : <p className="muted">{sentence(item.status)}{item.decision?.by && ` by ${item.decision.by}`}{item.decision?.label && `: ${item.decision.label}`}{item.decision?.note && ` · ${item.decision.note}`}</p>}
      </div>
    </Card>
  );
}
