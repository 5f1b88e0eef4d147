import type { RequestEvent, RunningRequest, Runtime } from '../../ports/runtime.js';
import { endpoints } from '../../protocol/tables/endpoints.js';
import type { Counting } from './event-metrics.js';
import { handlerLabelOf } from './handler-labels.js';
import { Tally, type Line, type PlainMetric } from './plain-metrics.js';

/** From 1 KiB to 2 GiB. */
const sizes = Array.from({ length: 22 }, (_, n) => 1024 * 2 ** n);
const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The requests with one `handler` label. */
interface HandlerSeries {
  readonly handler: string;
  readonly received: Tally;
  readonly sent: Tally;
  readonly methods: Map<string, MethodSeries>;
}

/** The requests with one `handler` label and method. */
interface MethodSeries {
  readonly of: HandlerSeries;
  readonly method: string;
  readonly duration: Tally;
  /** The number of answers by status. */
  readonly codes: Map<number, number>;
}

/**
 * Counts requests, with distribution's names.
 * @param running returns the requests in progress.
 */
export function countRequests(
  runtime: Pick<Runtime, 'observe'>,
  running: () => Iterable<RunningRequest> = () => [],
): Counting {
  const counts = new RequestCounts(running);
  return { metrics: counts.metrics(), stop: runtime.observe('request', (event) => counts.add(event)) };
}

class RequestCounts {
  readonly #protocolOps = new Set<string>(endpoints.map(({ op }) => op));
  readonly #handlers = new Map<string, HandlerSeries>();
  /** By operation and method, so that a request needs no label. */
  readonly #byOp = new Map<string, Map<string, MethodSeries>>();
  readonly #running: () => Iterable<RunningRequest>;

  constructor(running: () => Iterable<RunningRequest>) {
    this.#running = running;
  }

  add({ op, method, status, durationMs, bytesReceived, bytesSent }: RequestEvent): void {
    const { of, duration, codes } = this.#byOp.get(op)?.get(method) ?? this.#begin(op, method);
    codes.set(status, (codes.get(status) ?? 0) + 1);
    duration.add(durationMs / 1000);
    of.received.add(bytesReceived);
    of.sent.add(bytesSent);
  }

  metrics(): readonly PlainMetric[] {
    return [
      {
        name: 'registry_http_requests_total',
        help: 'Requests that were answered',
        type: 'counter',
        lines: () => this.#totals('registry_http_requests_total'),
      },
      {
        name: 'registry_http_in_flight_requests',
        help: 'Requests in progress',
        type: 'gauge',
        lines: () => this.#inFlight('registry_http_in_flight_requests'),
      },
      this.#histogram('request_duration_seconds', 'Time from the request to the end of its answer', (name) =>
        this.#series().flatMap(({ of: { handler }, method, duration }) => duration.lines(name, { handler, method })),
      ),
      this.#histogram('request_size_bytes', 'Bytes of request bodies', (name) =>
        [...this.#handlers.values()].flatMap(({ handler, received }) => received.lines(name, { handler })),
      ),
      this.#histogram('response_size_bytes', 'Bytes of responses', (name) =>
        [...this.#handlers.values()].flatMap(({ handler, sent }) => sent.lines(name, { handler })),
      ),
    ];
  }

  #histogram(shortName: string, help: string, lines: (name: string) => Line[]): PlainMetric {
    const name = `registry_http_${shortName}`;
    return { name, help, type: 'histogram', lines: () => lines(name) };
  }

  #totals(metricName: string): Line[] {
    return this.#series().flatMap(({ of: { handler }, method, codes }) =>
      [...codes].map(([code, value]) => ({ metricName, labels: { handler, method, code }, value })),
    );
  }

  #inFlight(metricName: string): Line[] {
    // A label that was used stays, with 0.
    const counts = new Map([...this.#handlers.keys()].map((handler) => [handler, 0]));
    for (const { op } of this.#running()) {
      const handler = handlerLabelOf(op, this.#protocolOps);
      counts.set(handler, (counts.get(handler) ?? 0) + 1);
    }
    return [...counts].map(([handler, value]) => ({ metricName, labels: { handler }, value }));
  }

  #series(): MethodSeries[] {
    return [...this.#handlers.values()].flatMap(({ methods }) => [...methods.values()]);
  }

  /** Returns the series of an operation. Operations with the same label share it. */
  #begin(op: string, method: string): MethodSeries {
    const handler = handlerLabelOf(op, this.#protocolOps);
    const of = this.#handlers.get(handler) ?? {
      handler,
      received: new Tally(sizes),
      sent: new Tally(sizes),
      methods: new Map<string, MethodSeries>(),
    };
    this.#handlers.set(handler, of);
    const series = of.methods.get(method) ?? { of, method, duration: new Tally(seconds), codes: new Map() };
    of.methods.set(method, series);
    this.#byOp.set(op, (this.#byOp.get(op) ?? new Map<string, MethodSeries>()).set(method, series));
    return series;
  }
}
