import type { VNode } from 'preact';
import type { RequestDocument } from '../../../../src/protocol/documents/monitoring.js';
import { count, createFilter, formatBytes } from '../../format.ts';
import { setQuery } from '../../location.ts';
import { FilterField, SelectField } from '../../parts/field.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { useRequests } from './use-requests.ts';

interface RequestsProps {
  readonly query: URLSearchParams;
  readonly isPaused: boolean;
}

/** The last requests that the registry answered. New ones appear automatically. */
export function Requests({ query, isPaused }: RequestsProps): VNode {
  const answer = useRequests(isPaused);
  const shown = answer.value?.filter(filterOf(query));
  return (
    <>
      <Filters query={query} shown={shown?.length} />
      <Answered answer={answer} what="The requests could not be read">
        {() => (shown === undefined || shown.length === 0 ? <None /> : <RequestTable requests={shown} />)}
      </Answered>
    </>
  );
}

type Test = (request: RequestDocument) => boolean;

/** Statuses to choose from. */
const statuses: Readonly<Record<string, readonly [title: string, test: Test]>> = {
  problems: ['refused or failed', ({ status }) => status >= 400],
  refused: ['refused (4xx)', ({ status }) => status >= 400 && status < 500],
  failed: ['failed (5xx)', ({ status }) => status >= 500],
};

/** Kinds of requests to choose from. This page itself sends requests of the management API. */
const kinds: Readonly<Record<string, readonly [title: string, test: Test]>> = {
  clients: ['of clients (/v2)', ({ url }) => url.includes('/v2/')],
  management: ['of the management API', ({ url }) => url.includes('/api/v1/')],
  cache: ['answered by caches', ({ cache }) => cache !== undefined],
};

function filterOf(query: URLSearchParams): Test {
  const of = (name: string): string => query.get(name) ?? '';
  const matchesUrl = createFilter(of('url'));
  const matchesWho = createFilter(of('who'));
  const tests = [kinds[of('kind')]?.[1], statuses[of('status')]?.[1]].filter((test) => test !== undefined);
  return (request) =>
    matchesUrl(`${request.method} ${request.url}`) &&
    (matchesWho(request.principal) || matchesWho(request.client_address)) &&
    tests.every((test) => test(request));
}

function Filters({ query, shown }: { readonly query: URLSearchParams; readonly shown: number | undefined }): VNode {
  const of = (name: string): string => query.get(name) ?? '';
  const optionsOf = (choices: typeof kinds, all: string): readonly (readonly [string, string])[] => [
    ['', all],
    ...Object.entries(choices).map(([key, [title]]) => [key, title] as const),
  ];
  return (
    <div class="tools">
      <SelectField
        label="Kind"
        isCompact
        value={of('kind')}
        options={optionsOf(kinds, 'all requests')}
        onChange={(kind) => setQuery({ kind })}
      />
      <SelectField
        label="Status"
        isCompact
        value={of('status')}
        options={optionsOf(statuses, 'all statuses')}
        onChange={(status) => setQuery({ status })}
      />
      <FilterField label="Who or address" value={of('who')} onInput={(who) => setQuery({ who })} />
      <FilterField label="Method or URL" value={of('url')} onInput={(url) => setQuery({ url })} />
      <output class="count">{shown === undefined ? '' : count(shown, 'request')}</output>
    </div>
  );
}

function None(): VNode {
  return <Empty>No request matches. The registry remembers its last 1000 requests until it stops.</Empty>;
}

function RequestTable({ requests }: { readonly requests: readonly RequestDocument[] }): VNode {
  return (
    <Table caption="Requests" rows={requests} columns={columns} keyOf={({ seq }) => String(seq)} heading="request" />
  );
}

const columns: readonly Column<RequestDocument>[] = [
  { key: 'at', title: 'Time', cell: ({ at }) => <Clock at={at} /> },
  {
    key: 'status',
    title: 'Status',
    compare: (one, other) => one.status - other.status,
    isLargestFirst: true,
    cell: ({ status, error_code: code }) => (
      <span class={status >= 500 ? 'badge bad' : status >= 400 ? 'badge warn' : 'badge good'} title={code}>
        {status}
      </span>
    ),
  },
  {
    key: 'request',
    title: 'Request',
    isText: true,
    cell: ({ method, url, id, user_agent: agent }) => (
      <code class="command" title={`request ${id}${agent === undefined ? '' : ` of ${agent}`}`}>
        {method} {isolate(url)}
      </code>
    ),
  },
  {
    key: 'who',
    title: 'Who',
    isWide: true,
    isText: true,
    cell: ({ principal, client_address: address }) => (
      <>
        {isolate(principal)} <span class="faint">{address}</span>
      </>
    ),
  },
  {
    key: 'cache',
    title: 'Cache',
    isWide: true,
    cell: ({ cache, served_by: member }) => [cache, member && ` of ${member}`],
  },
  {
    key: 'sent',
    title: 'Sent',
    isNumber: true,
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => one.bytes_sent - other.bytes_sent,
    cell: ({ bytes_sent: sent }) => formatBytes(sent),
  },
  {
    key: 'received',
    title: 'Received',
    isNumber: true,
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => one.bytes_received - other.bytes_received,
    cell: ({ bytes_received: received }) => formatBytes(received),
  },
  {
    key: 'duration',
    title: 'ms',
    isNumber: true,
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => one.duration_ms - other.duration_ms,
    cell: ({ duration_ms: duration }) => duration.toFixed(duration < 10 ? 1 : 0),
  },
];

const clock = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' });

function Clock({ at }: { readonly at: string }): VNode {
  const exact = new Date(at);
  return (
    <time dateTime={at} title={exact.toLocaleString()} class="number">
      {clock.format(exact)}
    </time>
  );
}
