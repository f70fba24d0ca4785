import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const backend = process.env.LLMOPS_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../crates/server/assets/dashboard",
    emptyOutDir: true,
    target: "es2022",
    // The policy of the pages allows files of this server only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/v1", "/ofrep", "/docs", "/openapi.json", "/healthz", "/readyz"].map((path) => [path, { target: backend, changeOrigin: true }]),
    ),
  },
  test: { include: ["src/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
