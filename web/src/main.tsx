import "./app.css";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refusal } from "./api/client";
import { ThemeProvider } from "./frame";
import { router } from "./router";
import { SessionGate } from "./session";
import { TipProvider } from "./ui/base";
import { ToastProvider } from "./ui/layers";

/** A session that ended leads to the sign-in, wherever it is noticed. */
const ended = (error: unknown) => {
  if (error instanceof Refusal && error.status === 401 && client.getQueryData(["session"]) !== null) void client.invalidateQueries({ queryKey: ["session"] });
};

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: (error, query) => query.queryKey[0] !== "session" && ended(error) }),
  mutationCache: new MutationCache({ onError: ended }),
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      // Whoever comes back to the page reads all of it when its events are heard again; the session does not wait for them.
      refetchOnWindowFocus: (query) => query.queryKey[0] === "session",
      // A refusal stays one; what could not be reached may come back.
      retry: (count, error) => (error instanceof Refusal && error.status > 0 && error.status < 500 ? false : count < 3),
    },
  },
});

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <ThemeProvider>
        <TipProvider>
          <ToastProvider>
            <SessionGate>
              <RouterProvider router={router} />
            </SessionGate>
          </ToastProvider>
        </TipProvider>
      </ThemeProvider>
    </QueryClientProvider>
  </StrictMode>,
);
