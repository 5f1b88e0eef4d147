import type { VNode } from 'preact';
import type { ImageDocument } from '../../../../src/protocol/documents/images.js';
import type { ViewProps } from '../../app.tsx';
import { compareNaturally, count, formatBytes, formatNumber } from '../../format.ts';
import { hrefOf, setQuery } from '../../location.ts';
import { CheckField, FilterField, SelectField } from '../../parts/field.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { lazy } from '../../parts/lazy.tsx';
import { Page } from '../../parts/page.tsx';
import { LongList } from '../../parts/long-list.tsx';
import { Answered, Empty, Loading } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Bytes, When } from '../../parts/texts.tsx';
import { useList } from '../../use-list.ts';

/** The list of images, the tags of an image, or one of its manifests, by the path. */
export function Images({ rest, query }: ViewProps): VNode {
  const [repository = '', ...image] = rest;
  if (image.length === 0) return <ImageList query={query} />;
  const name = { repository, image: image.join('/') };
  const reference = query.get('reference');
  if (reference === null) return <Tags name={name} query={query} />;
  const other = query.get('with');
  if (other !== null) return <Compare name={name} first={reference} second={other} />;
  return <ImageView name={name} reference={reference} query={query} />;
}

const Tags = lazy(() => import('./tags.tsx').then((module) => module.Tags));
const ImageView = lazy(() => import('./image.tsx').then((module) => module.ImageView));
const Compare = lazy(() => import('./compare.tsx').then((module) => module.Compare));

function ImageList({ query }: Pick<ViewProps, 'query'>): VNode {
  const q = query.get('q') ?? '';
  const repository = query.get('repository') ?? '';
  const unused = Number(query.get('unused') ?? 0);
  const isGrouped = query.get('group') === 'true';
  const {
    answer,
    shown: named,
    isLong,
    isSearching,
  } = useList({
    path: 'images',
    pick: (page: { images: ImageDocument[] }) => page.images,
    query: { repository: repository === '' ? undefined : repository },
    q,
    namesOf: (image: ImageDocument) => [nameOf(image), image.name],
  });
  const shown = unused > 0 ? named.filter(isUnused(unused)) : named;
  const names = [...new Set((answer.value?.items ?? []).map((image) => image.repository))].sort(compareNaturally);
  const offered = repository === '' ? names : [repository];
  return (
    <Page title="Images">
      <div class="tools">
        <FilterField label="Filter images" value={q} onInput={(text) => setQuery({ q: text })} />
        <SelectField
          label="Repository"
          isCompact
          value={repository}
          options={[['', 'all repositories'], ...offered.map((name) => [name, name] as const)]}
          onChange={(name) => setQuery({ repository: name })}
        />
        <SelectField
          label="Last pull"
          isCompact
          value={String(unused)}
          options={[0, 30, 90, 365].map((days) => [
            String(days),
            days === 0 ? 'any last pull' : `not used for ${days} days`,
          ])}
          onChange={(days) => setQuery({ unused: days === '0' ? undefined : days })}
        />
        <CheckField
          label="group by prefix"
          checked={isGrouped}
          onChange={(isChecked) => setQuery({ group: isChecked ? 'true' : undefined })}
        />
        <Answered answer={{ ...answer, problem: undefined }} what="">
          {() => <ImageCount items={shown} isPart={isLong && q === ''} isSearching={isSearching} />}
        </Answered>
      </div>
      <Answered answer={answer} what="The images could not be read">
        {() => {
          if (isGrouped && shown.length > 0) return <ImageGroups items={shown} />;
          if (isSearching && shown.length === 0) return <Loading />;
          return (
            <>
              {isLong && q === '' ? <LongList what="images" /> : undefined}
              <ImageTable items={shown} isFiltered={q !== '' || unused > 0} />
            </>
          );
        }}
      </Answered>
    </Page>
  );
}

function ImageCount({
  items,
  isPart = false,
  isSearching = false,
}: {
  readonly items: readonly ImageDocument[];
  readonly isPart?: boolean;
  readonly isSearching?: boolean;
}): VNode {
  const bytes = items.reduce((sum, image) => sum + image.size_bytes, 0);
  return (
    <output class="count">
      {isPart ? 'the first ' : ''}
      {count(items.length, 'image')}, {formatBytes(bytes)}
      {isSearching ? ', searching…' : ''}
    </output>
  );
}

function ImageTable({
  items,
  isFiltered,
}: {
  readonly items: readonly ImageDocument[];
  readonly isFiltered: boolean;
}): VNode {
  if (items.length > 0) return <Table caption="Images" rows={items} columns={columns} keyOf={nameOf} order={byName} />;
  if (isFiltered) return <Empty>No image matches the filter.</Empty>;
  return (
    <Empty>
      <p>There are no images yet. The first push creates an image.</p>
    </Empty>
  );
}

/** Images that were neither pulled nor pushed in these days: someone who pushes now may pull soon. */
function isUnused(days: number): (image: ImageDocument) => boolean {
  const since = Date.now() - days * 86_400_000;
  return ({ pushed_at: pushed, pulled_at: pulled }) => Math.max(timeOf(pushed), timeOf(pulled)) < since;
}

/** The images, grouped by the first part of their names, which is often a team or a project. */
function ImageGroups({ items }: { readonly items: readonly ImageDocument[] }): VNode {
  const groups = new Map<string, ImageDocument[]>();
  for (const image of items) {
    const [prefix = '', ...others] = image.name.split('/');
    const group = others.length === 0 ? 'without a prefix' : `${prefix}/`;
    groups.set(group, [...(groups.get(group) ?? []), image]);
  }
  const names = [...groups.keys()].sort(compareNaturally);
  return (
    <>
      {names.map((name) => {
        const images = groups.get(name) ?? [];
        return (
          <details key={name} class="group" open>
            <summary>
              <b>{name}</b> <ImageCount items={images} />
            </summary>
            <Table caption={`Images ${name}`} rows={images} columns={columns} keyOf={nameOf} order={byName} />
          </details>
        );
      })}
    </>
  );
}

const byName = { key: 'name', isDescending: false };

function nameOf({ repository, name }: ImageDocument): string {
  return `${repository}/${name}`;
}

const timeOf = (at: string | null): number => (at === null ? 0 : Date.parse(at));

const columns: readonly Column<ImageDocument>[] = [
  {
    key: 'name',
    title: 'Image',
    compare: (one, other) => compareNaturally(nameOf(one), nameOf(other)),
    cell: (image) => (
      <a href={hrefOf(`/images/${nameOf(image)}`)}>
        <span class="faint">{image.repository}/</span>
        {isolate(image.name)}
      </a>
    ),
  },
  {
    key: 'tags',
    title: 'Tags',
    isNumber: true,
    isLargestFirst: true,
    compare: (one, other) => one.tags - other.tags,
    cell: ({ tags }) => formatNumber(tags),
  },
  {
    key: 'size',
    title: 'Size',
    isNumber: true,
    isLargestFirst: true,
    compare: (one, other) => one.size_bytes - other.size_bytes,
    cell: (image) => <Bytes value={image.size_bytes} />,
  },
  {
    key: 'pushed',
    title: 'Last push',
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => timeOf(one.pushed_at) - timeOf(other.pushed_at),
    cell: (image) => <When at={image.pushed_at} />,
  },
  {
    key: 'pulled',
    title: 'Last pull',
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => timeOf(one.pulled_at) - timeOf(other.pulled_at),
    cell: (image) => <When at={image.pulled_at} />,
  },
  {
    key: 'pulls',
    title: 'Pulls, 30 days',
    isNumber: true,
    isWide: true,
    isLargestFirst: true,
    compare: (one, other) => one.recent_pulls - other.recent_pulls,
    cell: ({ recent_pulls: pulls }) => formatNumber(pulls),
  },
];
