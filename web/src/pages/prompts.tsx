import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import type { Prompt } from "../api/client";
import { api, ok } from "../api/client";
import { useRefusal } from "../session";
import { Ago, Badge, Button, Card, Empty, Long, PageHead } from "../ui/base";
import { Icon } from "../ui/icons";
import type { Column } from "../ui/table";
import { ListFoot, Table, useReadOn } from "../ui/table";
import { PromptEditor } from "./prompt-editor";

const route = getRouteApi("/prompts");
const isBuiltIn = (prompt: Prompt): boolean => prompt.name.startsWith("llmops/");

export function PromptsPage() {
  const { q = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const refusal = useRefusal();
  const [writing, setWriting] = useState(false);
  const prompts = useInfiniteQuery({
    queryKey: ["prompts"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ok(api.GET("/api/v1/prompts", { params: { query: { limit: 200, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  const wanted = q.toLowerCase();
  useReadOn(prompts, wanted !== "");
  const fitting = prompts.data?.pages.flatMap((page) => page.items).filter((prompt) => `${prompt.name} ${prompt.description ?? ""} ${prompt.tags?.join(" ") ?? ""} ${prompt.author ?? ""}`.toLowerCase().includes(wanted));
  // Nothing fits only once everything was read.
  const found = fitting?.length === 0 && prompts.hasNextPage ? undefined : fitting;
  // What comes with llmops stands by itself: a project begins with no prompt.
  const rows = found?.filter((prompt) => !isBuiltIn(prompt));
  const builtIn = found?.filter(isBuiltIn) ?? [];
  const none = !q || builtIn.length === 0;
  const columns: Column<Prompt>[] = [
    { head: "Prompt", cell: (prompt) => <div className="stack tight" style={{ gap: 0 }}><span className="row tight"><Link className="cover truncate" to="/prompts/$name" params={{ name: prompt.name }}>{prompt.name}</Link></span>{prompt.description && <span className="muted truncate" style={{ maxWidth: 330, fontSize: 12 }}>{prompt.description}</span>}</div> },
    { head: "Active version", cell: (prompt) => <span className="num">{prompt.version}</span> },
    { head: "Variables", wide: true, cell: (prompt) => <span className="muted truncate" style={{ display: "block", maxWidth: 150 }}>{prompt.variables?.map((variable) => variable.name).join(", ") || "–"}</span> },
    { head: "Model", wide: true, cell: (prompt) => (prompt.model ? <span className="mono row names less"><Long>{prompt.model}</Long></span> : <span className="faint">the caller’s</span>) },
    { head: "Tags", wide: true, cell: (prompt) => <span className="row tight">{prompt.tags?.map((tag) => <Badge key={tag}>{tag}</Badge>)}</span> },
    { head: "Written", right: true, cell: (prompt) => <><Ago time={prompt.created_at} />{prompt.author && <div className="faint tiny truncate" style={{ maxWidth: 130, marginLeft: "auto" }}>{prompt.author}</div>}</> },
  ];
  return (
    <>
      <PageHead title="Prompts" lead="Versions never change. One of them is active; deployments point to exact ones.">
        <Button kind="primary" icon="plus" refused={refusal("editor")} onClick={() => setWriting(true)}>New prompt</Button>
      </PageHead>
      <div className="filters" role="search">
        <div className="search-field"><Icon name="search" size={14} /><input className="input" type="search" aria-label="Filter prompts" placeholder="Filter" value={q} onChange={(event) => void navigate({ search: { q: event.target.value || undefined }, replace: true })} /></div>
      </div>
      {(rows?.length !== 0 || none) && <Card label="Prompts" flush>
        <Table
          label="Prompts"
          columns={columns}
          rows={rows}
          id={(prompt) => prompt.name}
          error={prompts.error}
          retry={() => void prompts.refetch()}
          empty={q ? <Empty title={`Nothing has “${q}” in its name, description, tags or author`} /> : <Empty title="No prompts yet" action={<Button kind="primary" icon="plus" refused={refusal("editor")} onClick={() => setWriting(true)}>Write one</Button>} command="llmops prompt push prompts/support-bot.yaml">A prompt is a template with typed variables. Write it in a file beside your code, or here.</Empty>}
        />
        {rows && rows.length > 0 && <ListFoot shown={rows.length} more={prompts.hasNextPage} loading={prompts.isFetchingNextPage} onMore={() => void prompts.fetchNextPage()} what={rows.length === 1 ? "prompt" : "prompts"} />}
      </Card>}
      {builtIn.length > 0 && <Card title="Built in" flush aside={<span className="faint">what judges are asked with</span>}><Table label="Built-in prompts" columns={columns} rows={builtIn} id={(prompt) => prompt.name} /></Card>}
      {writing && <PromptEditor onClose={() => setWriting(false)} />}
    </>
  );
}
