// Moves the threshold of an operating point. Counts of cases at the thresholds 0, 0.01, … 1 stand in the page.
document.querySelectorAll(".slider").forEach(function (box) {
  "use strict";
  var counts = JSON.parse(box.dataset.counts);
  var threshold = box.querySelector("[name=threshold]");
  var share = box.querySelector("[name=prevalence]");
  function show(name, text) {
    box.querySelector("[data-out=" + name + "]").textContent = text;
  }
  function percent(value) {
    return isFinite(value) ? (100 * value).toFixed(0) + "%" : "–";
  }
  function update() {
    var row = counts[Number(threshold.value)];
    var sensitivity = row[0] / (row[0] + row[1]), specificity = row[3] / (row[2] + row[3]);
    var ill = Math.min(1000, Math.max(0, Number(share.value) * 10)), well = 1000 - ill;
    var found = ill * sensitivity, alarms = well * (1 - specificity);
    show("threshold", (Number(threshold.value) / 100).toFixed(2));
    show("sensitivity", percent(sensitivity));
    show("specificity", percent(specificity));
    show("ppv", percent(found / (found + alarms)));
    show("npv", percent(well * specificity / (well * specificity + ill - found)));
    show("found", found.toFixed(0));
    show("missed", (ill - found).toFixed(0));
    show("alarms", alarms.toFixed(0));
    show("cleared", (well - alarms).toFixed(0));
  }
  threshold.addEventListener("input", update);
  share.addEventListener("input", update);
  box.hidden = false;
  update();
});
