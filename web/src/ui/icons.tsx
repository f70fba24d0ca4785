// One small set of line icons, drawn on a grid of 16.
const PATHS = {
  overview: "M2.5 2.5h4.5v5h-4.5zM9 2.5h4.5v3H9zM9 8h4.5v5.5H9zM2.5 10h4.5v3.5h-4.5z",
  quality: "M2 12.5l3.5-4 3 2.5L14 4M10.5 4H14v3.5",
  runs: "M4.5 3.2v9.6L13 8z",
  prompts: "M3 3.5h10M3 6.5h10M3 9.5h6M3 12.5h4",
  datasets: "M2.5 4c0-1 2.5-1.8 5.5-1.8s5.5.8 5.5 1.800-2.5 1.8-5.5 1.8S2.500 5 2.500 4zM2.500 4v8c0 1 2.500 1.800 5.500 1.800s5.500-.8 5.500-1.800V4M2.500 8c0 1 2.500 1.800 5.500 1.800s5.500-.8 5.500-1.800",
  experiments: "M6 2.500h4M6.800 2.500v4L3 12.300c-.4.7.1 1.500.9 1.500h8.200c.8 0 1.300-.8.9-1.500L9.200 6.500v-4M4.800 10h6.400",
  deployments: "M8 1.800l5.500 3v6.400l-5.500 3-5.500-3V4.800zM2.500 4.800L8 8l5.500-3.200M8 8v6.200",
  traffic: "M1.800 8h3l2-5 2.800 10 2-5h2.600",
  review: "M2.500 3.500h11v7h-6l-3 2.500v-2.500h-2zM5.500 6.800l1.600 1.500 3-3",
  alerts: "M4 11V7a4 4 0 018 0v4l1 1.200H3zM6.600 14h2.800",
  schedules: "M8 14A6 6 0 108 2a6 6 0 000 12zM8 4.800V8l2.300 1.500",
  providers: "M4.500 12.500h7.200a2.800 2.800 0 00.4-5.600 4.200 4.200 0 00-8.100-.6A3.200 3.200 0 004.500 12.500z",
  access: "M9.800 6.200a3.300 3.300 0 11-3.100-3.200 3.300 3.300 0 013.100 3.200zM9 8.500l4.500 4.500M11.500 11l1.500-1.500",
  settings: "M8 10.200A2.200 2.200 0 108 5.800a2.200 2.200 0 000 4.400zM8 1.800v2M8 12.200v2M1.800 8h2M12.200 8h2M3.600 3.600L5 5M11 11l1.400 1.400M12.400 3.600L11 5M5 11l-1.400 1.400",
  search: "M7 12A5 5 0 107 2a5 5 0 000 10zM10.700 10.700L14 14",
  menu: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3 8.500l3.200 3.200L13 4.800",
  copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
  chevron: "M6 4l4 4-4 4",
  down: "M4 6l4 4 4-4",
  plus: "M8 3v10M3 8h10",
  sun: "M8 11a3 3 0 100-6 3 3 0 000 6zM8 1.500v1.500M8 13v1.500M1.500 8H3M13 8h1.500M3.400 3.400l1 1M11.600 11.600l1 1M12.600 3.400l-1 1M4.400 11.600l-1 1",
  moon: "M13.500 9.500A6 6 0 016.500 2.500a5.800 5.800 0 107 7z",
  warning: "M8 2.200l6.200 11H1.800zM8 6.500v3M8 11.300v.2",
  info: "M8 14A6 6 0 108 2a6 6 0 000 12zM8 7.500v3.300M8 5.200v.2",
  table: "M2.500 3h11v10h-11zM2.500 6.500h11M2.500 9.800h11M6.500 3v10",
  external: "M6 3.500H3v9.500h9.500V10M9 2.500h4.500V7M13.500 2.500L7.500 8.500",
  back: "M6.500 4L2.500 8l4 4M2.500 8h11",
  dots: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  user: "M8 8a2.800 2.800 0 100-5.600A2.800 2.800 0 008 8zM2.800 13.800c.5-2.700 2.600-4.300 5.200-4.300s4.700 1.600 5.200 4.300",
  stop: "M4 4h8v8H4z",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  trash: "M3 4.500h10M6.500 4.500v-2h3v2M4.500 4.500l.6 9h5.800l.6-9",
  edit: "M10.500 3l2.500 2.500L6 12.500l-3 .5.500-3z",
  download: "M8 2.500v8M4.800 7.500L8 10.500l3.200-3M3 13.500h10",
  upload: "M8 10.500v-8M4.800 5.500L8 2.500l3.200 3M3 13.500h10",
  shield: "M8 1.800l5 2v4c0 3-2 5.300-5 6.400-3-1.100-5-3.400-5-6.400v-4z",
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration: whatever it says must also stand in text or in a label. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth={name === "dots" ? 2 : 1.4} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#4f46e5" />
      <path d="M9 8v16h6" fill="none" stroke="#fff" strokeWidth="3" strokeLinecap="round" strokeLinejoin="round" />
      <path d="M15 19l4-6 3 3 3-6" fill="none" stroke="#c7d2fe" strokeWidth="2.600" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
