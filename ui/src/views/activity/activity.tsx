import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { EventDocument } from '../../../../src/protocol/documents/activity.js';
import type { ViewProps } from '../../app.tsx';
import { count } from '../../format.ts';
import { hrefOf, setQuery } from '../../location.ts';
import { FilterField, SelectField } from '../../parts/field.tsx';
import { Icon } from '../../parts/icon.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { lazy } from '../../parts/lazy.tsx';
import { Page, Tabs } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Digest, When } from '../../parts/texts.tsx';
import { useEvents, type EventsFilter } from './use-events.ts';
import { RestoreTag } from './restore-tag.tsx';

/** The texts of event types. Other types are shown as they are. */
const verbs: Readonly<Record<string, string>> = {
  'tag.moved': 'tagged',
  'tag.deleted': 'deleted tag',
  'manifest.pushed': 'pushed',
  'manifest.deleted': 'deleted',
  'manifest.restored': 'restored',
  'manifest.purged': 'removed from the trash',
};

const all = (noun: string): readonly string[] => ['created', 'replaced', 'deleted'].map((verb) => `${noun}.${verb}`);

/** Groups of types to choose from. */
const groups: Readonly<Record<string, readonly [title: string, types: readonly string[]]>> = {
  tags: ['tags', ['tag.moved', 'tag.deleted']],
  pushes: ['pushes', ['manifest.pushed']],
  deletions: ['deletions', ['tag.deleted', 'manifest.deleted', 'manifest.purged']],
  repositories: ['repositories', [...all('repository'), ...all('quota'), ...all('sync'), ...all('retention')]],
  access: ['access', [...all('account'), ...all('account-token'), ...all('rule'), ...all('signing-key')]],
  jobs: ['jobs', all('job')],
};

/** The changes of the registry, or the requests that it answered. New ones appear automatically. */
export function Activity({ query }: ViewProps): VNode {
  const [isPaused, setPaused] = useState(false);
  const tab = query.get('tab') === 'requests' ? 'requests' : 'changes';
  return (
    <Page
      title="Activity"
      actions={
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          <Icon name={isPaused ? 'play' : 'pause'} />
          {isPaused ? 'Resume' : 'Pause'}
        </button>
      }
    >
      <Tabs
        label="Parts of the activity"
        current={tab}
        tabs={[
          { key: 'changes', title: 'Changes', href: hrefOf('/activity') },
          { key: 'requests', title: 'Requests', href: hrefOf('/activity', { tab: 'requests' }) },
        ]}
      />
      {tab === 'requests' ? (
        <Requests query={query} isPaused={isPaused} />
      ) : (
        <Changes query={query} isPaused={isPaused} />
      )}
    </Page>
  );
}

const Requests = lazy(() => import('./requests.tsx').then((module) => module.Requests));

/** The changes with their users, newest first. */
function Changes({ query, isPaused }: { readonly query: URLSearchParams; readonly isPaused: boolean }): VNode {
  const [restored, setRestored] = useState<EventDocument | undefined>(undefined);
  const answer = useEvents(filterOf(query), isPaused);
  return (
    <>
      <Filters query={query} shown={answer.value?.length} />
      <Answered answer={answer} what="The events could not be read">
        {(events) => <EventTable events={events} onRestore={setRestored} />}
      </Answered>
      {answer.readOlder === undefined ? undefined : (
        <p class="more">
          <button type="button" onClick={answer.readOlder}>
            Show older events
          </button>
        </p>
      )}
      {restored === undefined ? undefined : (
        <RestoreTag event={restored} onClose={() => setRestored(undefined)} onDone={answer.reload} />
      )}
    </>
  );
}

function filterOf(query: URLSearchParams): EventsFilter {
  const [, types] = groups[query.get('what') ?? ''] ?? ['', []];
  const name = (query.get('image') ?? '').trim();
  const slash = name.indexOf('/');
  const textOf = (text: string): string | undefined => (text === '' ? undefined : text);
  return {
    types,
    repository: textOf(slash < 0 ? name : name.slice(0, slash)),
    image: slash < 0 ? undefined : textOf(name.slice(slash + 1)),
    by: textOf((query.get('who') ?? '').trim()),
  };
}

function Filters({ query, shown }: { readonly query: URLSearchParams; readonly shown: number | undefined }): VNode {
  const of = (name: string): string => query.get(name) ?? '';
  return (
    <div class="tools">
      <SelectField
        label="What"
        isCompact
        value={of('what')}
        options={[['', 'all changes'], ...Object.entries(groups).map(([key, [title]]) => [key, title] as const)]}
        onChange={(what) => setQuery({ what })}
      />
      <FilterField label="Who" value={of('who')} onInput={(who) => setQuery({ who })} />
      <FilterField
        label="Repository or repository/image"
        value={of('image')}
        onInput={(image) => setQuery({ image })}
      />
      <output class="count">{shown === undefined ? '' : count(shown, 'event')}</output>
    </div>
  );
}

function EventTable({
  events,
  onRestore,
}: {
  readonly events: readonly EventDocument[];
  readonly onRestore: (event: EventDocument) => void;
}): VNode {
  if (events.length === 0) return <Empty>No event matches. Each change of the registry appears here.</Empty>;
  return (
    <Table
      caption="Events"
      rows={events}
      columns={columnsOf(onRestore)}
      keyOf={({ seq }) => String(seq)}
      heading="what"
    />
  );
}

function columnsOf(onRestore: (event: EventDocument) => void): readonly Column<EventDocument>[] {
  return [
    { key: 'at', title: 'When', isText: true, cell: ({ at }) => <When at={at} /> },
    { key: 'who', title: 'Who', isText: true, cell: ({ by }) => <Who by={by} /> },
    { key: 'what', title: 'What', isText: true, cell: (event) => <What event={event} /> },
    {
      key: 'digest',
      title: 'Digest',
      isWide: true,
      cell: ({ digest }) => (digest === undefined ? '' : <Digest value={digest} />),
    },
    {
      key: 'was',
      title: 'Was',
      isWide: true,
      cell: ({ was }) => (was === undefined ? '' : <Digest value={was} />),
    },
    {
      key: 'restore',
      title: 'Action',
      isText: true,
      cell: (event) =>
        event.was === undefined || event.tag === undefined ? (
          ''
        ) : (
          <button type="button" onClick={() => onRestore(event)} aria-label={`Restore ${event.tag} as it was`}>
            <Icon name="undo" />
            <span class="wide-only">Restore</span>
          </button>
        ),
    },
  ];
}

function Who({ by: { principal, via, address } }: { readonly by: EventDocument['by'] }): VNode {
  return (
    <a
      href={hrefOf('/activity', { who: principal })}
      title={`via ${via}${address === undefined ? '' : `, ${address}`}`}
    >
      {isolate(principal)}
    </a>
  );
}

function What({ event }: { readonly event: EventDocument }): VNode {
  const { type, repository, image, tag, id, override } = event;
  const name = image === undefined ? (repository ?? '') : `${repository}/${image}`;
  return (
    <>
      <span class="faint">{verbs[type] ?? type.replace('.', ' ')}</span>{' '}
      {image === undefined ? isolate(name) : <a href={hrefOf(`/images/${name}`)}>{isolate(name)}</a>}
      {tag === undefined ? undefined : <b>:{isolate(tag)}</b>}
      {id === undefined || id === name ? undefined : <code>{isolate(id)}</code>}
      {override === true ? <span class="badge warn">immutable tag overridden</span> : undefined}
    </>
  );
}
