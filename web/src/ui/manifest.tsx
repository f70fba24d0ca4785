// Manifests: what answers, in a line, and what two of them differ in.
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { api, ok } from "../api/client";
import { Problem, Skeleton } from "./base";
import { WordDiff } from "./diff";
import { Dialog } from "./layers";
import { Hash, PromptLink } from "./parts";

/** A manifest never changes: it is read once. */
export const manifestQuery = (hash: string | null | undefined) => ({
  queryKey: ["manifest", hash],
  enabled: Boolean(hash),
  staleTime: "static" as const,
  queryFn: () => ok(api.GET("/api/v1/manifests/{hash}", { params: { path: { hash: hash ?? "" } } })),
});

export function ManifestLine({ hash }: { hash: string }) {
  const manifest = useQuery(manifestQuery(hash));
  if (manifest.isError) return <Hash of={hash} />;
  if (!manifest.data) return <span className="row wrap manifest"><Skeleton width={96} height={20} /><Skeleton width={116} height={20} /></span>;
  return <span className="row wrap manifest"><PromptLink name={manifest.data.prompt} version={manifest.data.prompt_version} /><span className="mono muted nowrap">{manifest.data.model}</span></span>;
}

const text = (manifest: Schemas["Manifest"]) => JSON.stringify(manifest, null, 2).replaceAll("\\n", "\n");

export function ManifestDiff({ title, from, to, onClose }: { title: string; from: string | undefined; to: string | undefined; onClose: () => void }) {
  const before = useQuery(manifestQuery(from));
  const after = useQuery(manifestQuery(to));
  const error = before.error ?? after.error;
  return (
    <Dialog title={title} shape="wide" open onClose={onClose}>
      {error ? <Problem error={error} /> : before.data && after.data ? <div className="code" tabIndex={0}><WordDiff before={text(before.data)} after={text(after.data)} /></div> : <Skeleton height={240} />}
    </Dialog>
  );
}
