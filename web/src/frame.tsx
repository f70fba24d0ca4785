// The frame around every page: navigation, palette, theme, who is signed in.
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useMatches, useRouter, useRouterState } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { createContext, useContext, useEffect, useState } from "react";
import { api, ok } from "./api/client";
import { openIncidents, openReleases, promotions } from "./api/open";
import { useLive } from "./api/live";
import { sentence } from "./lib/format";
import { Palette, Shortcuts } from "./palette";
import { signOut, useSession, useSignedIn } from "./session";
import { Button, Tip } from "./ui/base";
import { useCrumbName } from "./ui/crumb";
import type { IconName } from "./ui/icons";
import { Icon, Logo } from "./ui/icons";
import { Menu } from "./ui/layers";
import { typing } from "./ui/table";

interface Place {
  to: string;
  label: string;
  icon: IconName;
  /** The second key after `g`. */
  key: string;
}

export const PLACES: { group: string; places: Place[] }[] = [
  {
    group: "",
    places: [
      { to: "/", label: "Overview", icon: "overview", key: "o" },
    ],
  },
  {
    group: "Evaluate",
    places: [
      { to: "/quality", label: "Quality", icon: "quality", key: "q" },
      { to: "/runs", label: "Runs", icon: "runs", key: "r" },
      { to: "/prompts", label: "Prompts", icon: "prompts", key: "p" },
      { to: "/datasets", label: "Datasets", icon: "datasets", key: "d" },
      { to: "/experiments", label: "Experiments", icon: "experiments", key: "e" },
    ],
  },
  {
    group: "Operate",
    places: [
      { to: "/deployments", label: "Deployments", icon: "deployments", key: "y" },
      { to: "/traffic", label: "Traffic", icon: "traffic", key: "t" },
      { to: "/review", label: "Review", icon: "review", key: "v" },
      { to: "/alerts", label: "Alerts", icon: "alerts", key: "a" },
      { to: "/schedules", label: "Schedules", icon: "schedules", key: "s" },
      { to: "/providers", label: "Providers", icon: "providers", key: "m" },
    ],
  },
  {
    group: "Organise",
    places: [
      { to: "/access", label: "Keys and audit", icon: "access", key: "k" },
      { to: "/settings", label: "Settings", icon: "settings", key: "," },
    ],
  },
];

/** Pages that are listed in a place of another name. */
const HOMES: Record<string, string> = { canaries: "deployments", releases: "deployments", incidents: "deployments", judges: "quality", compare: "runs" };

type Theme = "system" | "light" | "dark";

function chosenTheme(): Theme {
  const { chosen } = document.documentElement.dataset;
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

const ThemeContext = createContext<{ theme: Theme; choose: (theme: Theme) => void }>({ theme: "system", choose: () => undefined });
export const useTheme = () => useContext(ThemeContext);

export function ThemeProvider({ children }: { children: ReactNode }) {
  const [theme, setTheme] = useState<Theme>(chosenTheme);
  const choose = (next: Theme) => {
    const root = document.documentElement;
    if (next === "system") delete root.dataset.chosen;
    else root.dataset.chosen = next;
    root.dispatchEvent(new Event("llmops-theme"));
    try {
      if (next === "system") localStorage.removeItem("llmops.theme");
      else localStorage.setItem("llmops.theme", next);
    } catch {
      // Storage may be forbidden: the choice then holds for this visit.
    }
    setTheme(next);
  };
  return <ThemeContext value={{ theme, choose }}>{children}</ThemeContext>;
}

const FrameContext = createContext<{ live: boolean }>({ live: false });
export const useFrame = () => useContext(FrameContext);

export function Frame() {
  const [menu, setMenu] = useState(false);
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const live = useLive(useSignedIn());
  useEffect(() => setMenu(false), [path]);
  useKeys(() => setPalette(true), () => setHelp(true));
  useScrollableTables();
  return (
    <FrameContext value={{ live: live === true }}>
      <div className="frame" data-menu={menu ? "open" : "shut"}>
        <a className="sr" href="#content">Skip to the content</a>
        <Side onSearch={() => setPalette(true)} />
        <button type="button" className="scrim" aria-label="Close the menu" onClick={() => setMenu(false)} />
        <div className="main">
          <header className="topbar">
            <span className="menu-button"><Button kind="quiet" icon="menu" aria-label="Menu" aria-expanded={menu} onClick={() => setMenu(!menu)} /></span>
            <Crumbs />
            <span className="grow" />
            <Tip text={live ? "What changes elsewhere appears by itself" : live === null ? "Connecting to the server’s events" : "Not connected to the server’s events; trying again"}>
              <span className="live" data-on={live === true}><i aria-hidden="true" /><span className="wide-only">{live ? "Live" : live === null ? "Connecting" : "Offline"}</span><span className="sr">{live === false ? "offline" : ""}</span></span>
            </Tip>
            <Button kind="quiet" icon="search" aria-label="Search and commands" onClick={() => setPalette(true)} />
            <ThemeSwitch />
          </header>
          <main id="content" tabIndex={-1} className="page" key={path.split("/")[1]} style={{ outline: "none" }}>
            <Outlet />
          </main>
        </div>
        <Palette open={palette} onClose={() => setPalette(false)} onHelp={() => setHelp(true)} />
        <Shortcuts open={help} onClose={() => setHelp(false)} />
      </div>
    </FrameContext>
  );
}

/** Tables that are wider than their place are scrolled by keyboard as well; those that fit are no stop on the way. */
function useScrollableTables() {
  useEffect(() => {
    let asked = 0;
    const look = () => {
      asked = 0;
      for (const place of document.querySelectorAll<HTMLElement>(".table-wrap, .scroll")) {
        const scrolls = place.scrollWidth > place.clientWidth + 1 || place.scrollHeight > place.clientHeight + 1;
        if (scrolls && place.tabIndex !== 0) {
          place.tabIndex = 0;
          if (place.tagName === "DIV") {
            place.setAttribute("role", "region");
            place.setAttribute("aria-label", `${place.querySelector("[aria-label]")?.getAttribute("aria-label") ?? "Table"}, to scroll`);
          }
        } else if (!scrolls && place.tabIndex === 0) place.removeAttribute("tabindex");
      }
    };
    const ask = () => {
      asked ||= requestAnimationFrame(look);
    };
    const changes = new MutationObserver(ask);
    changes.observe(document.body, { childList: true, subtree: true });
    const sizes = new ResizeObserver(ask);
    sizes.observe(document.body);
    return () => {
      changes.disconnect();
      sizes.disconnect();
      cancelAnimationFrame(asked);
    };
  }, []);
}

function useKeys(onPalette: () => void, onHelp: () => void) {
  const router = useRouter();
  useEffect(() => {
    let waiting = 0;
    const pressed = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        onPalette();
        return;
      }
      if (typing(event)) return;
      if (event.key === "?") onHelp();
      if (event.key === "/") {
        event.preventDefault();
        const filter = document.querySelector<HTMLInputElement>("main .search-field input");
        if (filter) filter.focus();
        else onPalette();
      }
      if (event.key === "g") {
        waiting = Date.now();
        return;
      }
      if (Date.now() - waiting < 1200) {
        const place = PLACES.flatMap((group) => group.places).find((p) => p.key === event.key);
        waiting = 0;
        if (place) void router.navigate({ to: place.to });
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  });
}

function ThemeSwitch() {
  const { theme, choose } = useTheme();
  return (
    <Menu
      label="Theme"
      items={(["system", "light", "dark"] as const).map((name) => ({
        label: `${name === "system" ? "Like the system" : name === "light" ? "Light" : "Dark"}${theme === name ? "  ✓" : ""}`,
        onSelect: () => choose(name),
      }))}
    >
      <Button kind="quiet" icon={theme === "dark" ? "moon" : "sun"} aria-label="Theme" />
    </Menu>
  );
}

/** What of the deployments waits for a person: open incidents, promotions and releases to approve. */
function useWaiting(): number {
  const incidents = useQuery({ ...openIncidents, staleTime: 30_000 });
  const approvals = useQuery({ ...promotions, staleTime: 30_000 });
  const releases = useQuery({ ...openReleases, staleTime: 30_000 });
  return (
    (incidents.data?.items.length ?? 0) +
    (approvals.data?.items.filter((one) => one.status === "pending").length ?? 0) +
    (releases.data?.items.filter((one) => one.step === "approval").length ?? 0)
  );
}

function Side({ onSearch }: { onSearch: () => void }) {
  const session = useSession();
  const alerts = useQuery({
    queryKey: ["alerts", "open"],
    queryFn: () => ok(api.GET("/api/v1/alerts", { params: { query: { status: "open", limit: 100 } } })),
    staleTime: 30_000,
  });
  const open = alerts.data?.items.length ?? 0;
  const waiting = useWaiting();
  const home = useRouterState({ select: (state) => HOMES[state.location.pathname.split("/")[1] ?? ""] });
  return (
    <aside className="side" aria-label="Navigation">
      <Link to="/" className="brand"><Logo /> llmops</Link>
      <button type="button" className="side-search" onClick={onSearch}><Icon name="search" size={14} /> Search <kbd>⌘K</kbd></button>
      {PLACES.map(({ group, places }) => (
        <nav key={group} aria-label={group || "Start"}>
          {group && <h2>{group}</h2>}
          {places.map((place) => (
            <Link key={place.to} to={place.to} className={place.to === `/${home}` ? "inside" : ""} activeOptions={{ exact: place.to === "/", includeSearch: false }}>
              <Icon name={place.icon} />
              {place.label}
              {place.to === "/alerts" && open > 0 && <span className="count bad">{open >= 100 ? "99+" : open}<span className="sr"> open</span></span>}
              {place.to === "/deployments" && waiting > 0 && <span className="count bad">{waiting}<span className="sr"> wait for somebody</span></span>}
            </Link>
          ))}
        </nav>
      ))}
      <div className="side-foot">
        <Menu
          label="Account"
          items={[
            { label: "API reference", onSelect: () => window.open("/docs", "_blank", "noopener") },
            ...(session?.expires_at ? (["rule", { label: "Sign out", onSelect: () => void signOut() }] as const) : []),
          ]}
        >
          <button type="button" className="who">
            <span className="avatar" aria-hidden="true">{session?.name.slice(0, 1).toUpperCase()}</span>
            <span className="stack tight grow" style={{ gap: 0 }}>
              <span className="truncate" style={{ fontWeight: 500, lineHeight: "16px" }}>{session?.name}</span>
              <span className="truncate faint tiny">{session?.role} · {session?.project}</span>
            </span>
          </button>
        </Menu>
      </div>
    </aside>
  );
}

/** A page's place in the tree, from its path; names stand as they are in the address. */
function Crumbs() {
  const matches = useMatches();
  const lost = useRouterState({ select: (state) => state.matches.length === 1 && state.location.pathname !== "/" });
  const last = matches[matches.length - 1];
  const path = (last?.pathname ?? "/").split("/").filter(Boolean).map(decodeURIComponent);
  const home = HOMES[path[0] ?? ""] ?? path[0] ?? "";
  const first = PLACES.flatMap((group) => group.places).find((place) => place.to === `/${home}`);
  const label = lost ? "Not found" : first?.label ?? (path[0] ? sentence(path[0]) : "");
  const name = useCrumbName();
  const rest = path.slice(1);
  // An id gives way to a name, once it is known.
  if (rest.length > 0) rest[rest.length - 1] = name ?? rest[rest.length - 1]?.replace(/^[a-z]+_[0-9A-Za-z-]{10,}$/, "…") ?? "";
  const title = [rest[rest.length - 1] ?? label, "llmops"].filter(Boolean).join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
  return (
    <nav className="crumbs" aria-label="Breadcrumb">
      {rest.length > 0 ? <Link to={first?.to ?? `/${path[0]}`} className="nowrap">{label}</Link> : <span aria-current="page" className="nowrap">{label}</span>}
      {rest.map((part, i) => (
        <span key={i} className="row tight" style={{ minWidth: 0 }}>
          <span className="sep" aria-hidden="true">/</span>
          <span className="truncate" aria-current={i === rest.length - 1 ? "page" : undefined}>{part}</span>
        </span>
      ))}
    </nav>
  );
}
