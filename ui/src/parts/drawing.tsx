import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { ChartProps } from './chart.tsx';

const height = 200;
const colours = ['--series-1', '--series-2', '--series-3', '--series-4', '--series-5', '--series-6'] as const;

/** Draws lines on a canvas as wide as the page, and again when the width or the colour scheme changes. */
export function Drawing(props: ChartProps): VNode {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current } = place;
    if (current === null) return undefined;
    let plot: uPlot | undefined;
    const draw = (): void => {
      plot?.destroy();
      plot = new uPlot(optionsOf(props, current), dataOf(props), current);
    };
    draw();
    const resized = new ResizeObserver(() => plot?.setSize({ width: current.clientWidth, height }));
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const themed = new MutationObserver(draw);
    resized.observe(current);
    scheme.addEventListener('change', draw);
    themed.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    return () => {
      resized.disconnect();
      themed.disconnect();
      scheme.removeEventListener('change', draw);
      plot?.destroy();
    };
  }, [props.times, props.series]);
  return <div ref={place} />;
}

function dataOf({ times, series }: ChartProps): uPlot.AlignedData {
  return [times.map((time) => time / 1000), ...series.map(({ values }) => [...values])];
}

function optionsOf({ series, format }: ChartProps, place: HTMLElement): uPlot.Options {
  // Resolved by an element, because a canvas does not understand light-dark().
  const colourOf = (name: string): string => {
    place.style.color = `var(${name})`;
    const { color } = getComputedStyle(place);
    place.style.color = '';
    return color;
  };
  const axis = { stroke: colourOf('--faint'), grid: { stroke: colourOf('--line'), width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth,
    height,
    legend: { show: series.length > 1, live: false },
    cursor: { drag: { x: false, y: false } },
    axes: [axis, { ...axis, size: 70, values: (_plot, values) => values.map(format) }],
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.05 : 1] } },
    series: [
      {},
      ...series.map(({ name }, index) => {
        const stroke = colourOf(colours[index % colours.length] ?? '--series-1');
        return { label: name, stroke, width: 2, points: { show: false }, spanGaps: true };
      }),
    ],
  };
}
