import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { CacheStatusDocument } from '../../../../src/protocol/documents/caches.js';
import type { ImageDocument } from '../../../../src/protocol/documents/images.js';
import type { RepositoryDocument } from '../../../../src/protocol/documents/repositories.js';
import type { ViewProps } from '../../app.tsx';
import { get, getAll } from '../../api.ts';
import { compareNaturally, formatNumber, formatShare } from '../../format.ts';
import { hrefOf } from '../../location.ts';
import { Facts, Page, Section } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Bytes, When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';
import { CacheTags } from './cache-tags.tsx';
import { ProbeButton } from './probe-button.tsx';
import { PurgeCache } from './purge-cache.tsx';

type Cache = RepositoryDocument & { readonly status?: CacheStatusDocument };

/** The list of caches, one of them with its images, or an image with its tags. */
export function Caches({ rest: [repository, ...image] }: ViewProps): VNode {
  if (repository === undefined) return <CacheList />;
  if (image.length === 0) return <OneCache repository={repository} />;
  return <CacheTags repository={repository} image={image.join('/')} />;
}

function CacheList(): VNode {
  const answer = useAnswer(
    (signal) => get<{ readonly repositories: readonly RepositoryDocument[] }>('repositories', {}, signal),
    [],
  );
  return (
    <Page title="Caches">
      <Answered answer={answer} what="The caches could not be read">
        {({ repositories }) => {
          const caches = repositories.filter(({ repo_type: type, cache }) => type === 'remote' && cache !== false);
          return caches.length === 0 ? (
            <Empty>There are no caches. A cache is a remote repository that stores content here.</Empty>
          ) : (
            <Table caption="Caches" rows={caches} columns={listColumns} keyOf={({ name }) => name} />
          );
        }}
      </Answered>
    </Page>
  );
}

const listColumns: readonly Column<RepositoryDocument>[] = [
  {
    key: 'name',
    title: 'Cache',
    compare: (one, other) => compareNaturally(one.name, other.name),
    cell: ({ name }) => <a href={hrefOf(`/caches/${name}`)}>{name}</a>,
  },
  { key: 'url', title: 'Upstream', isText: true, cell: ({ url, upstream }) => url ?? upstream },
  { key: 'description', title: 'Description', isWide: true, isText: true, cell: ({ description }) => description },
];

function OneCache({ repository }: { readonly repository: string }): VNode {
  const [isPurging, setPurging] = useState(false);
  const cache = useAnswer((signal) => get<Cache>(`repositories/${repository}`, {}, signal), [repository]);
  const images = useAnswer(
    (signal) =>
      getAll(
        'images',
        (page: { readonly images: readonly ImageDocument[] }) => page.images,
        { repository },
        { signal },
      ),
    [repository],
  );
  const reload = (): void => {
    cache.reload();
    images.reload();
  };
  return (
    <Page
      title={`Cache ${repository}`}
      heading={
        <span class="crumbs">
          <a href="#/caches">Caches</a> / {repository}
        </span>
      }
      actions={
        <>
          <a class="button" href={hrefOf(`/repositories/${repository}`)}>
            Settings
          </a>
          <ProbeButton repository={repository} onDone={cache.reload} />
          <button type="button" class="danger" onClick={() => setPurging(true)}>
            Purge all
          </button>
        </>
      }
    >
      <Answered answer={cache} what="The cache could not be read">
        {({ status }) =>
          status === undefined ? <p>This repository stores no content of its upstream.</p> : <Status status={status} />
        }
      </Answered>
      <Section title="Images">
        <Answered answer={images} what="The images could not be read">
          {({ items }) =>
            items.length === 0 ? (
              <Empty>Nothing is cached. The first pull stores an image.</Empty>
            ) : (
              <Table caption="Cached images" rows={items} columns={imageColumns} keyOf={({ name }) => name} />
            )
          }
        </Answered>
      </Section>
      {isPurging ? <PurgeCache repository={repository} onClose={() => setPurging(false)} onDone={reload} /> : undefined}
    </Page>
  );
}

function Status({ status }: { readonly status: CacheStatusDocument }): VNode {
  const { upstream, breaker, budget, counters, counted_since: since } = status;
  const asked = counters.hit + counters.miss + counters.stale;
  return (
    <Facts
      facts={[
        ['Upstream', upstream],
        ['Circuit breaker', <Breaker key="breaker" breaker={breaker} />],
        ['Last failure', breaker.last_failure],
        ['Rate limit left', budget === 1 ? '100 %, or unknown' : formatShare(budget)],
        [
          'Answers',
          <span key="hits">
            {formatNumber(counters.hit)} hits, {formatNumber(counters.miss)} misses, {formatNumber(counters.stale)}{' '}
            stale
            {asked === 0 ? '' : ` (${formatShare(counters.hit / asked)} hits)`}, since <When at={since} />
          </span>,
        ],
        ['Stored', <Bytes key="used" value={status.used_bytes} />],
        ['Received', <Bytes key="received" value={status.upstream_bytes} />],
      ]}
    />
  );
}

function Breaker({ breaker }: { readonly breaker: CacheStatusDocument['breaker'] }): VNode {
  const { state, failures, opened_at: openedAt, is_limited: isLimited } = breaker;
  if (state === 'closed') {
    return (
      <span>
        <span class="badge good">closed</span> {failures === 0 ? '' : `${formatNumber(failures)} failures in a row`}
      </span>
    );
  }
  return (
    <span>
      <span class="badge bad">{state}</span> {isLimited === true ? 'the upstream limits our requests' : ''}{' '}
      {openedAt === undefined ? undefined : (
        <>
          opened <When at={openedAt} />
        </>
      )}
    </span>
  );
}

const imageColumns: readonly Column<ImageDocument>[] = [
  {
    key: 'name',
    title: 'Image',
    compare: (one, other) => compareNaturally(one.name, other.name),
    cell: ({ repository, name }) => <a href={hrefOf(`/caches/${repository}/${name}`)}>{name}</a>,
  },
  { key: 'tags', title: 'Tags', isNumber: true, cell: ({ tags }) => formatNumber(tags) },
  {
    key: 'size',
    title: 'Size',
    isNumber: true,
    isLargestFirst: true,
    compare: (one, other) => one.size_bytes - other.size_bytes,
    cell: (image) => <Bytes value={image.size_bytes} />,
  },
  { key: 'pulled', title: 'Last pull', isWide: true, cell: (image) => <When at={image.pulled_at} /> },
];
