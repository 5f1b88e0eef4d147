import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { TrashItemDocument } from '../../../../src/protocol/documents/repositories.js';
import { getAll, send, type ApiError } from '../../api.ts';
import { compareNaturally, count, createFilter } from '../../format.ts';
import { imageHref } from '../../image-links.ts';
import { hrefOf, setQuery } from '../../location.ts';
import { FilterField } from '../../parts/field.tsx';
import { Icon } from '../../parts/icon.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { Page } from '../../parts/page.tsx';
import { Answered, Empty, Problem } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { Bytes, When } from '../../parts/texts.tsx';
import { toProblem, useAnswer } from '../../use-answer.ts';

/** Deleted manifests of a repository, which can be restored with their tags. */
export function Trash({ repository, query }: { readonly repository: string; readonly query: URLSearchParams }): VNode {
  const path = `repositories/${repository}/trash`;
  const answer = useAnswer(
    (signal) => getAll(path, (page: { items: TrashItemDocument[] }) => page.items, {}, { signal }),
    [path],
  );
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const q = query.get('q') ?? '';
  const matches = createFilter(q);
  const restore = async ({ image, digest, tags }: TrashItemDocument): Promise<void> => {
    try {
      await send('POST', `${path}/restore`, { image, digest });
      announce(`Restored ${nameOf({ image, digest, tags })}`);
      setProblem(undefined);
    } catch (error) {
      setProblem(toProblem(error));
    }
    answer.reload();
  };
  return (
    <Page
      title={`Trash of ${repository}`}
      heading={
        <span class="crumbs">
          <a href={hrefOf(`/repositories/${repository}`)}>{repository}</a> / Trash
        </span>
      }
    >
      {problem === undefined ? undefined : <Problem error={problem} what="The image could not be restored" />}
      <Answered answer={answer} what="The trash could not be read">
        {({ items }) => {
          const shown = items.filter(({ image, tags }) => [image, ...tags].some(matches));
          return (
            <>
              <div class="tools">
                <FilterField label="Filter by image or tag" value={q} onInput={(text) => setQuery({ q: text })} />
                <output class="count">{count(shown.length, 'manifest')}</output>
              </div>
              {shown.length === 0 ? (
                <Empty>{items.length === 0 ? 'The trash is empty.' : 'Nothing matches the filter.'}</Empty>
              ) : (
                <Table
                  caption="Trash"
                  rows={shown}
                  columns={columnsOf(repository, (item) => void restore(item))}
                  keyOf={({ image, digest }) => `${image}@${digest}`}
                />
              )}
            </>
          );
        }}
      </Answered>
    </Page>
  );
}

function nameOf({ image, digest, tags }: Pick<TrashItemDocument, 'image' | 'digest' | 'tags'>): string {
  return tags.length === 0 ? `${image}@${digest.slice(7, 19)}` : `${image}:${tags.join(', ')}`;
}

function columnsOf(
  repository: string,
  onRestore: (item: TrashItemDocument) => void,
): readonly Column<TrashItemDocument>[] {
  return [
    {
      key: 'name',
      title: 'Image',
      compare: (one, other) => compareNaturally(nameOf(one), nameOf(other)),
      cell: (item) => <a href={imageHref({ repository, image: item.image })}>{isolate(nameOf(item))}</a>,
    },
    {
      key: 'size',
      title: 'Size',
      isNumber: true,
      isWide: true,
      isLargestFirst: true,
      compare: (one, other) => one.bytes - other.bytes,
      cell: ({ bytes }) => <Bytes value={bytes} />,
    },
    { key: 'deleted', title: 'Deleted', isWide: true, cell: ({ deleted_at: at }) => <When at={at} /> },
    { key: 'by', title: 'By', isWide: true, cell: ({ by }) => by?.principal },
    { key: 'until', title: 'Kept until', isWide: true, cell: ({ until }) => <When at={until} /> },
    {
      key: 'restore',
      title: 'Restore',
      cell: (item) => (
        <button type="button" aria-label={`Restore ${nameOf(item)}`} onClick={() => onRestore(item)}>
          <Icon name="undo" /> Restore
        </button>
      ),
    },
  ];
}
