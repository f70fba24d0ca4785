// Holds the stream of events for all windows of a browser that are signed in alike.
import { eventStream } from "./events";
import { hub } from "./stream";

const join = hub(eventStream);

(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = ({ ports }) => {
  if (ports[0]) join(ports[0]);
};
